import { type Paint, PLAIN } from "./color.ts";

/** Columns padded to their widest cell, two spaces between, the last one unpadded. */
export function table(header: string[], rows: string[][], paint: Paint = PLAIN): string {
  const all = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...all.map((row) => Bun.stringWidth(row[column] ?? ""))));
  const line = (row: string[]): string =>
    row.map((cell, i) => (i === row.length - 1 ? cell : pad(cell, widths[i] ?? 0))).join("  ");
  return [paint.label(line(header)), ...rows.map(line)].map((text) => `${text}\n`).join("");
}

/** One thing's fields; a value of several lines is indented to its column. */
export function fields(rows: [string, string][], paint: Paint = PLAIN): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows
    .map(
      ([name, value]) =>
        `${paint.label(pad(name, width))}  ${value.replaceAll("\n", `\n${" ".repeat(width + 2)}`)}\n`,
    )
    .join("");
}

function pad(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - Bun.stringWidth(text)));
}
