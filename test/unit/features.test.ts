import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Glob } from "bun";
import { featureTests } from "../support/features.ts";
import { judge } from "../support/verdict.ts";

const ROOT = resolve(import.meta.dir, "..");

async function testSources(): Promise<string[]> {
  const paths = [...new Glob("{unit,integration,contract,specs}/**/*.ts").scanSync(ROOT)];
  return await Promise.all(paths.map((path) => readFile(`${ROOT}/${path}`, "utf8")));
}

test("every row of the feature table names a test that exists, or what takes its place", async () => {
  const features = await featureTests();
  expect([...features.keys()]).toEqual(Array.from({ length: 108 }, (_, i) => i + 1));
  const sources = await testSources();
  const titles = new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/\btest[\w.]*(?:\(absent\("\w+"\)\))?\(\s*"((?:[^"\\]|\\.)*)"/g)].map(
        ([, title = ""]) => title,
      ),
    ),
  );
  expect([...features.values()].filter((name) => name !== "" && !titles.has(name))).toEqual([]);
});

test("only a test of a program that may be absent can be skipped, and its title begins with the program's name", async () => {
  const sources = (await testSources()).join("\n");
  const skips = sources.match(/\btest(\.\w+)*\.(skip|todo|if)\w*\(/g) ?? [];
  const needed = sources.match(/\btest(\.concurrent)?\.skipIf\(absent\("(\w+)"\)\)\(\s*"\2 /g) ?? [];
  expect(needed.length).toBeGreaterThan(10);
  expect(skips.length).toBe(needed.length);
});

const REPORT = `<testsuites><testsuite name="a">
  <testcase name="a &quot;plain&quot; test" classname="" assertions="1" />
  <testcase name="convox builds" classname="" assertions="0">
    <skipped />
  </testcase>
</testsuite></testsuites>`;

test("a run passes with skips of absent programs' tests, which are named with their features, and no others", () => {
  const judged = (report: string, features: [number, string][] = [], exitCode = 0) =>
    judge(report, exitCode, new Map(features), (title) => title.startsWith("convox "));
  const fine = judged(REPORT, [
    [1, 'a "plain" test'],
    [2, "convox builds"],
    [3, ""],
    [4, "convox builds"],
  ]);
  expect(fine).toEqual({
    lines: ["skipped: convox builds (docs/features.md: 2, 4)"],
    closing: "1 passed, 0 failed, 1 skipped",
    good: true,
  });
  const other = judged(REPORT.replace("convox builds", "something else"));
  expect(other).toMatchObject({
    lines: [expect.stringMatching(/^error: skipped without need: /)],
    good: false,
  });
  const failed = judged(REPORT.replace("<skipped />", "<failure />"), [[2, "convox builds"]], 1);
  expect(failed).toMatchObject({
    lines: ['error: feature 2 of docs/features.md: test "convox builds" did not pass'],
    closing: "1 passed, 1 failed, 0 skipped",
    good: false,
  });
  expect(judged(REPORT, [[1, "not there"]]).good).toBe(false);
  expect(judged(REPORT, [], 1)).toMatchObject({ closing: "1 passed, 1 failed, 1 skipped", good: false });
  expect(judged("")).toMatchObject({ closing: "0 passed, 0 failed, 0 skipped", good: false });
});
