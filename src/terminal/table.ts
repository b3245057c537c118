import { type Paint, PLAIN } from "./color.ts";
import { lines, type Shown, shown, visible } from "./shown.ts";

/** Columns padded to their widest cell, two spaces between, the last one unpadded. */
export function table(header: string[], rows: string[][], paint: Paint = PLAIN): Shown {
  const all = [header, ...rows].map((row) => row.map((cell) => visible(cell)));
  const widths = header.map((_, column) => Math.max(...all.map((row) => Bun.stringWidth(row[column] ?? ""))));
  const line = (row: string[]): string =>
    row.map((cell, i) => (i === row.length - 1 ? cell : pad(cell, widths[i] ?? 0))).join("  ");
  const [first = "", ...rest] = all.map(line);
  return lines([paint.label(first), ...rest]);
}

/** One thing's fields; a value of several lines is indented to its column. */
export function fields(rows: [string, string][], paint: Paint = PLAIN): Shown {
  const named = rows.map(([name, value]) => [visible(name), value] as const);
  const width = Math.max(...named.map(([name]) => Bun.stringWidth(name)));
  return lines(
    named.flatMap(([name, value]) => {
      const [first = "", ...rest] = value.split("\n");
      return [
        shown`${paint.label(pad(name, width))}  ${first}`,
        ...rest.map((line) => `${" ".repeat(width + 2)}${line}`),
      ];
    }),
  );
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
}
