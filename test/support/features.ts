import { readFile } from "node:fs/promises";
import { resolve } from "node:path";

/* With a JUnit report as its argument: fails unless every test that docs/features.md names ran and passed. */

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

if (import.meta.main) {
  const report = await readFile(process.argv[2] ?? "", "utf8");
  const passed = new Set(
    [...report.matchAll(/<testcase name="([^"]*)"[^>]*\/>/g)].map(([, name = ""]) => unescaped(name)),
  );
  for (const [row, name] of await featureTests()) {
    if (name === "" || passed.has(name)) continue;
    process.stderr.write(
      `error: feature ${row} of docs/features.md: test ${JSON.stringify(name)} did not run, or failed\n`,
    );
    process.exitCode = 1;
  }
}

function unescaped(text: string): string {
  return text
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&#39;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}
