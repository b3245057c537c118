import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

/** The tests that the table names, by row. */
export async function featureTests(): Promise<Map<number, string>> {
  const text = await readFile(resolve(import.meta.dir, "../../docs/features.md"), "utf8");
  const rows = text.split("\n").flatMap((line): [number, string][] => {
    const row = /^\| (\d+) /.exec(line)?.[1];
    const last = line.replace(/ *\|$/, "").split(" | ").at(-1) ?? "";
    return row === undefined ? [] : [[Number(row), /^`(.+)`$/.exec(last)?.[1] ?? ""]];
  });
  return new Map(rows);
}
