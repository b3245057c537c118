import { readFile } from "node:fs/promises";
import { featureTests } from "./features.ts";
import { maySkip } from "./peers.ts";

/*
 * With a JUnit report and the test runner's exit code as arguments: prints what was skipped, what of
 * docs/features.md is not shown, and `N passed, N failed, N skipped`.
 */

type Outcome = "passed" | "failed" | "skipped";

export interface Verdict {
  /** What a person should know: skips, and features that nothing shows. */
  lines: string[];
  closing: string;
  good: boolean;
}

/** Judges a test run. A skip is an error unless `maySkip` allows it for that title. */
export function judge(
  report: string,
  exitCode: number,
  features: ReadonlyMap<number, string>,
  maySkip: (title: string) => boolean,
): Verdict {
  const tests = outcomes(report);
  const count = (wanted: Outcome): number => tests.filter(({ outcome }) => outcome === wanted).length;
  const rows = (title: string): string => {
    const numbers = [...features].filter(([, name]) => name === title).map(([row]) => row);
    return numbers.length === 0 ? "" : ` (docs/features.md: ${numbers.join(", ")})`;
  };
  const skipped = tests.filter(({ outcome }) => outcome === "skipped").map(({ title }) => title);
  const allowed = skipped.filter(maySkip).map((title) => `skipped: ${title}${rows(title)}`);
  const errors = skipped
    .filter((title) => !maySkip(title))
    .map((title) => `error: skipped without need: ${title}`);
  for (const [row, name] of features) {
    if (name === "" || skipped.includes(name)) continue;
    const all = tests.filter(({ title }) => title === name);
    if (all.length > 0 && all.every(({ outcome }) => outcome === "passed")) continue;
    errors.push(`error: feature ${row} of docs/features.md: test ${JSON.stringify(name)} did not pass`);
  }
  // A file that does not load is in no report.
  const outside = exitCode !== 0 && count("failed") === 0 ? 1 : 0;
  if (outside === 1) errors.push("error: the tests failed outside of any test");
  const failed = count("failed") + outside;
  return {
    lines: [...allowed, ...errors],
    closing: `${count("passed")} passed, ${failed} failed, ${skipped.length} skipped`,
    good: failed === 0 && errors.length === 0 && count("passed") > 0,
  };
}

function outcomes(report: string): { title: string; outcome: Outcome }[] {
  return report
    .split("<testcase ")
    .slice(1)
    .map((one) => {
      const title = unescaped(/^name="([^"]*)"/.exec(one)?.[1] ?? "");
      const whole = /^[^>]*\/>/.test(one);
      return { title, outcome: whole ? "passed" : one.includes("<skipped") ? "skipped" : "failed" };
    });
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

if (import.meta.main) {
  const [path = "", code = "1"] = process.argv.slice(2);
  const report = await readFile(path, "utf8").catch(() => "");
  const { lines, closing, good } = judge(report, Number(code), await featureTests(), maySkip);
  for (const line of lines) process.stderr.write(`${line}\n`);
  process.stdout.write(`${closing}\n`);
  process.exitCode = good ? 0 : 1;
}
