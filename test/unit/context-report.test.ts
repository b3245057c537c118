import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { ContextSize } from "../../src/build/context-size.ts";
import { explainProject } from "../../src/build/explain-ignore.ts";
import { tempDir } from "../support/temp.ts";

test("what makes a context large is named: an entry that fills its directory stands for it", () => {
  const size = new ContextSize();
  size.add("src", 0);
  for (let i = 0; i < 100; i++) size.add(`src/file${i}.ts`, 1_000);
  size.add("node_modules/.cache/webpack/one/pack", 9_000_000);
  size.add("node_modules/small/index.js", 100_000);
  size.add("video.mp4", 5_000_000);
  size.add("README.md", 10);
  expect([size.files, size.total]).toEqual([105, 14_200_010]);
  expect(size.largest(3)).toEqual([
    { path: "node_modules/.cache/webpack/one", size: 9_000_000 },
    { path: "video.mp4", size: 5_000_000 },
    { path: "src", size: 100_000 },
  ]);
});

test("of each path it is said which rule of which file keeps it or drops it", async () => {
  using dir = tempDir();
  await mkdir(dir.join("web/keep"), { recursive: true });
  await writeFile(dir.join("convox.yml"), "services:\n  web:\n    build: ./web\n  api:\n    build: .\n");
  await writeFile(dir.join("web/Dockerfile"), "FROM scratch\n");
  await writeFile(dir.join("Dockerfile"), "FROM scratch\n");
  await writeFile(dir.join("web/.dockerignore"), "# logs\n**/*.log\n\n!keep/*.log\nbuild\n");
  await writeFile(dir.join("web/keep/a.log"), "x");
  const said = async (path: string) =>
    (await explainProject(dir.path, "convox.yml", dir.join(path))).map(({ context, kept, rule, exists }) => [
      context === dir.path ? "." : "web",
      kept,
      rule && `${rule.line}: ${rule.text}`,
      exists,
    ]);
  expect(await said("web/keep/a.log")).toEqual([
    ["web", true, "4: !keep/*.log", true],
    [".", true, undefined, true],
  ]);
  expect(await said("web/x/b.log")).toEqual([
    ["web", false, "2: **/*.log", false],
    [".", true, undefined, false],
  ]);
  expect(await said("web/build/deep/file")).toEqual([
    ["web", false, "5: build", false],
    [".", true, undefined, false],
  ]);
  expect(await said("convox.yml")).toEqual([[".", true, undefined, true]]);
  await expect(explainProject(dir.path, "convox.yml", "/etc/passwd")).rejects.toThrow(
    "no service is built from a directory that holds it",
  );
});
