import { expect, test } from "bun:test";
import { chmod, link, mkdir, symlink, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { type Managed, resolveArgs } from "../../src/build/build-args.ts";
import { BuildLog } from "../../src/build/build-log.ts";
import { contextTar, openContext, walkContext } from "../../src/build/context.ts";
import { developmentStage, parseDockerfile } from "../../src/build/dockerfile.ts";
import { PlainProgress } from "../../src/build/progress.ts";
import { Redactor } from "../../src/build/redact.ts";
import { shellQuote } from "../../src/shell-words.ts";
import { readTar } from "../../src/tar/read.ts";
import { tempDir } from "../support/temp.ts";

const managed: Managed = {
  BUILD_APP: "shop",
  BUILD_AUTH: "{}",
  BUILD_DEVELOPMENT: "false",
  BUILD_GENERATION: "2",
  BUILD_GIT_SHA: "",
  BUILD_ID: "BABCDEFGHIJ",
  BUILD_MANIFEST: "convox.yml",
  BUILD_RACK: "local",
};

test("only declared names are passed: the command line over convox.yml over env", () => {
  const args = resolveArgs(
    ["A", "B", "C", "BUILD_ID", "BUILD_APP", "BUILD_GIT_SHA"],
    { A: "env", B: "env", X: "1" },
    { B: "yml", C: "yml" },
    ["C=1.10", "BUILD_ID", "BUILD_GIT_SHA"],
    managed,
  );
  expect(args).toEqual({ A: "env", B: "yml", C: "1.10", BUILD_ID: "BABCDEFGHIJ" });
});

test("a bare name that is not managed is refused, so that no variable of the builder leaks", () => {
  expect(() => resolveArgs(["HOME"], {}, {}, ["HOME"], managed)).toThrow("only the managed ones");
});

test("every ARG of a Dockerfile is found, in any case and any stage, and heredocs are no instructions", async () => {
  const file = await parseDockerfile(
    "ARG BASE=x\nFROM $BASE AS build\narg A B=2\nRUN <<EOF\nFROM fake AS fake\nARG FAKE\nEOF\nFROM scratch AS Development\nARG C\n",
  );
  expect(file.args).toEqual(["BASE", "A", "B", "C"]);
  expect(developmentStage(file)).toBe("Development");
  expect(developmentStage(await parseDockerfile("FROM a AS development2\n"))).toBeUndefined();
});

test("what a builder would refuse at once is found, with its line", async () => {
  const { mistakes } = await parseDockerfile(
    "# comment\nARG A\nRUN early\nFORM scratch\nFROM\nFROM scratch\nCOPY\nrun ok\n",
  );
  expect(mistakes.map(({ line, message }) => `${line}: ${message}`)).toEqual([
    "3: RUN comes before the first FROM",
    "4: unknown instruction: FORM",
    "5: FROM needs an argument",
    "7: COPY needs an argument",
  ]);
  expect((await parseDockerfile("ARG A\n")).mistakes).toEqual([{ line: 1, message: "it has no FROM" }]);
  expect((await parseDockerfile("FROM scratch\nRUN <<EOF\nanything goes\nEOF\n")).mistakes).toEqual([]);
});

test("a context holds what .dockerignore leaves, with modes and links, and always its Dockerfile", async () => {
  using dir = tempDir();
  await mkdir(dir.join("src/deep"), { recursive: true });
  await mkdir(dir.join("logs/keep"), { recursive: true });
  for (const path of ["src/a.ts", "src/deep/b.log", "logs/x.log", "logs/keep/y.log", "Dockerfile"])
    await writeFile(dir.join(path), path);
  await writeFile(dir.join(".dockerignore"), "**/*.log\nlogs\n!logs/keep\nDockerfile\n");
  await chmod(dir.join("src/a.ts"), 0o755);
  await symlink("a.ts", dir.join("src/link"));
  await link(dir.join("src/a.ts"), dir.join("src/z-hard"));
  const found: string[] = [];
  for await (const entry of readTar(contextTar(await openContext(dir.path, "Dockerfile"))))
    found.push(`${entry.name} ${entry.type}${entry.linkname ? ` ${entry.linkname}` : ""}`);
  expect(found).toEqual([
    ".dockerignore file",
    "Dockerfile file",
    "logs/ directory",
    "logs/keep/ directory",
    "logs/keep/y.log file",
    "src/ directory",
    "src/a.ts file",
    "src/deep/ directory",
    "src/link symlink a.ts",
    "src/z-hard hardlink src/a.ts",
  ]);
});

test("Dockerfile.dockerignore beats .dockerignore", async () => {
  using dir = tempDir();
  for (const path of ["a", "b", "Prod"]) await writeFile(dir.join(path), path);
  await writeFile(dir.join(".dockerignore"), "a\n");
  await writeFile(dir.join("Prod.dockerignore"), "b\n");
  const found: string[] = [];
  for await (const item of walkContext(await openContext(dir.path, "Prod"))) found.push(item.path);
  expect(found).toEqual([".dockerignore", "Prod", "Prod.dockerignore", "a"]);
});

test("secrets are redacted by value wherever a line is cut, and short or plain values are left alone", async () => {
  const stored: string[] = [];
  const shown: string[] = [];
  const log = new BuildLog(
    async (text) => void stored.push(text),
    (text) => void shown.push(text),
  );
  log.redactor.addEnv({
    DB_PASSWORD: "hunter2-and-more",
    PORT: "80",
    API_KEY: "12345678",
    GREETING: "hello-there-9",
  });
  log.line("using hunter2-and-more on 80 with 12345678 for hello-there-9");
  log.line(`and ${Buffer.from("hunter2-and-more").toString("base64")} at https://user:pa55@host/x`);
  log.line("\x1b[31mred\x1b[0m \x07bell");
  await log.flush();
  expect(stored.join("")).toBe(
    "using [REDACTED] on 80 with 12345678 for hello-there-9\nand [REDACTED] at https://user:[REDACTED]@host/x\nred bell\n",
  );
  expect(shown.join("")).toBe(stored.join(""));
});

test("a redacted text never holds a secret, whatever stands around it", () => {
  const secret = "s3cr3t-Value!";
  fc.assert(
    fc.property(fc.string(), fc.string(), (before, after) => {
      const redactor = new Redactor();
      redactor.add(secret);
      expect(redactor.redact(before + secret + after)).not.toContain(secret);
    }),
  );
});

test("BuildKit's progress becomes plain lines: partial messages are joined, repeated vertexes shown once", () => {
  const lines: string[] = [];
  const progress = new PlainProgress((line) => lines.push(line));
  const vertex = {
    digest: "d",
    inputs: [],
    name: "[1/2] RUN make",
    cached: false,
    started: 10,
    completed: undefined,
    error: "",
  };
  progress.show({ vertexes: [vertex], logs: [{ vertex: "d", time: 10.5, text: "hel" }] });
  progress.show({ vertexes: [vertex], logs: [{ vertex: "d", time: 11, text: "lo\nwor" }] });
  progress.show({ vertexes: [{ ...vertex, completed: 12.34 }], logs: [] });
  progress.show({ vertexes: [{ ...vertex, completed: 12.34 }], logs: [] });
  expect(lines).toEqual(["#1 [1/2] RUN make", "#1 1.000 hello", "#1 2.340 wor", "#1 DONE 2.3s"]);
});

test("words are quoted for a shell only where they must be", () => {
  expect(["/bin/sh", "-c", "a b", "it's"].map(shellQuote)).toEqual(["/bin/sh", "-c", "'a b'", `'it'"'"'s'`]);
});
