import { expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import { Glob } from "bun";
import { featureTests } from "../support/features.ts";

const ROOT = resolve(import.meta.dir, "..");

test("every row of the feature table names a test that exists, or what takes its place", async () => {
  const features = await featureTests();
  expect([...features.keys()]).toEqual(Array.from({ length: 108 }, (_, i) => i + 1));
  const sources = await Promise.all(
    [...new Glob("{unit,integration,contract}/**/*.ts").scanSync(ROOT)].map((path) =>
      readFile(`${ROOT}/${path}`, "utf8"),
    ),
  );
  const titles = new Set(
    sources.flatMap((text) =>
      [...text.matchAll(/\btest\(\s*"((?:[^"\\]|\\.)*)"/g)].map(([, title = ""]) => title),
    ),
  );
  expect([...features.values()].filter((name) => name !== "" && !titles.has(name))).toEqual([]);
});
