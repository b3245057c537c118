import { expect, test } from "bun:test";
import { chmod, link, mkdir, symlink, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { type Managed, resolveArgs } from "../../src/build/build-args.ts";
import { BuildLog } from "../../src/build/build-log.ts";
import { contextTar, openContext, walkContext } from "../../src/build/context.ts";
import { developmentStage, parseDockerfile } from "../../src/build/dockerfile.ts";
import { WordFinder } from "../../src/build/find-words.ts";
import { PlainProgress } from "../../src/build/progress.ts";
import { Redactor } from "../../src/build/redact.ts";
import { Root } from "../../src/root.ts";
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
  const file = parseDockerfile(
    "ARG BASE=x\nFROM $BASE AS build\narg A B=2\nRUN <<EOF\nFROM fake AS fake\nARG FAKE\nEOF\nFROM scratch AS Development\nARG C\n",
  );
  expect(file.args).toEqual(["BASE", "A", "B", "C"]);
  expect(developmentStage(file)).toBe("Development");
  expect(developmentStage(parseDockerfile("FROM a AS development2\n"))).toBeUndefined();
});

test("what a builder would refuse at once is found, with its line", async () => {
  const { mistakes } = parseDockerfile(
    "# comment\nARG A\nRUN early\nFORM scratch\nFROM\nFROM scratch\nCOPY\nrun ok\n",
  );
  expect(mistakes.map(({ line, message }) => `${line}: ${message}`)).toEqual([
    "3: RUN comes before the first FROM",
    "4: unknown instruction: FORM",
    "5: FROM needs an argument",
    "7: COPY needs an argument",
  ]);
  expect(parseDockerfile("ARG A\n").mistakes).toEqual([{ line: 1, message: "it has no FROM" }]);
  expect(parseDockerfile("FROM scratch\nRUN <<EOF\nanything goes\nEOF\n").mistakes).toEqual([]);
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
  for await (const entry of readTar(contextTar(await openContext(await Root.open(dir.path), "Dockerfile"))))
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
  for await (const item of walkContext(await openContext(await Root.open(dir.path), "Prod")))
    found.push(item.path);
  expect(found).toEqual([".dockerignore", "Prod", "Prod.dockerignore", "a"]);
});

test("secrets are redacted by value wherever a line is cut, and values that only look secret may be short", async () => {
  const stored: string[] = [];
  const shown: string[] = [];
  const log = new BuildLog(
    async (text) => void stored.push(text),
    (text) => void shown.push(text),
  );
  const env = {
    DB_PASSWORD: "hunter2-and-more",
    PORT: "80",
    AUTH: "true",
    API_KEY: "12345678",
    HI: "hello-9",
  };
  for (const [name, value] of Object.entries(env)) log.redactor.addGuessed(name, value);
  log.line("using hunter2-and-more on 80 with 12345678 for hello-9, true");
  log.line(`and ${Buffer.from("hunter2-and-more").toString("base64")} at https://user:pa55@host/x`);
  log.line("https://ghp_0123456789@host/x https://user:p@ss@host/x ssh://git@host/x");
  log.line("\x1b[31mred\x1b[0m \x07bell hunter2\x1b[1m-and-more");
  await log.flush();
  expect(stored.join("")).toBe(
    [
      "using [REDACTED] on 80 with [REDACTED] for hello-9, true",
      "and [REDACTED] at https://user:[REDACTED]@host/x",
      "https://[REDACTED]@host/x https://user:[REDACTED]@host/x ssh://git@host/x",
      "red bell [REDACTED]\n",
    ].join("\n"),
  );
  expect(shown.join("")).toBe(stored.join(""));
});

test.each([
  "abc",
  "hunter",
  "secretword",
  "12345678",
  "päss wörd",
  "it's",
  'quo"ted',
  "<a&b>",
  "q!('*)~",
  " edges ",
])("what was named a secret is masked whatever it is made of: %p", (secret) => {
  const redactor = new Redactor();
  expect(redactor.add(secret)).toBe(true);
  const value = secret.trim();
  const forms = [
    value,
    encodeURIComponent(value),
    encodeURIComponent(value).replace(/%../g, (code) => code.toLowerCase()),
    new URLSearchParams({ "": value }).toString().slice(1),
    JSON.stringify(value).slice(1, -1),
    value.replaceAll("'", "'\\''"),
    Buffer.from(value).toString("base64"),
    Buffer.from(`${value}\n`).toString("base64"),
    Buffer.from(value).toString("base64url"),
  ];
  for (const form of forms) expect(redactor.redact(`<<${form}>>`)).toBe("<<[REDACTED]>>");
});

test("a secret of several lines is masked line by line, and as base64 breaks it", () => {
  const redactor = new Redactor();
  const body = Array.from({ length: 8 }, (_, i) => `line-${i}-${"x".repeat(50)}`);
  const secret = `-----BEGIN KEY-----\r\n${body.join("\r\n")}\r\n}\r\n`;
  redactor.add(secret);
  for (const line of body) expect(redactor.redact(`#5 0.1   ${line}`)).toBe("#5 0.1   [REDACTED]");
  expect(redactor.redact(JSON.stringify(secret.trim()))).toBe('"[REDACTED]"');
  for (const columns of [76, 64])
    for (const line of (
      Buffer.from(secret)
        .toString("base64")
        .match(new RegExp(`.{1,${columns}}`, "g")) ?? []
    ).slice(0, -1))
      expect(redactor.redact(line)).toBe("[REDACTED]");
  expect(redactor.redact("}")).toBe("}");
});

test("a secret inside of a login that is sent as base64 is masked, whoever's it is", () => {
  for (const user of ["a", "me", "bob", "anna"]) {
    const redactor = new Redactor();
    redactor.add("s3cr3t-Value!");
    const sent = redactor.redact(Buffer.from(`${user}:s3cr3t-Value!`).toString("base64"));
    expect(Buffer.from(sent.replace("[REDACTED]", ""), "base64").toString()).not.toMatch(/cr3t|Valu/);
  }
});

test("what is too short to be looked for is said to be", () => {
  for (const secret of ["", "a", "ab", " a\n"]) expect(new Redactor().add(secret)).toBe(false);
});

test("a redacted text never holds a secret, whatever stands around it, and keeps all else", () => {
  const secrets = fc.array(
    fc.string({ minLength: 3, maxLength: 12, unit: fc.constantFrom(..."abAB1-=% ") }),
    {
      maxLength: 8,
    },
  );
  const pieces = fc.array(fc.oneof(fc.string({ maxLength: 6 }), fc.nat(7)), { maxLength: 12 });
  fc.assert(
    fc.property(secrets, pieces, (values, parts) => {
      const redactor = new Redactor();
      const named = values.filter((value) => redactor.add(value)).map((value) => value.trim());
      const text = parts.map((part) => (typeof part === "string" ? part : (named[part] ?? ""))).join("");
      const left = redactor.redact(text).split("[REDACTED]");
      for (const value of named) for (const piece of left) expect(piece).not.toContain(value);
      if (named.length === 0) expect(left.join("")).toBe(text);
    }),
  );
});

test("places of words are those that a search for each one finds", () => {
  const word = fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom("a", "b") });
  fc.assert(
    fc.property(
      fc.array(word, { minLength: 1, maxLength: 6 }),
      fc.string({ unit: fc.constantFrom("a", "b", "c") }),
      (words, text) => {
        const finder = new WordFinder();
        for (const each of words) finder.add(each);
        const covered = (at: number): boolean =>
          words.some((each) => {
            for (let from = Math.max(0, at - each.length + 1); from <= at; from++)
              if (text.startsWith(each, from)) return true;
            return false;
          });
        const found = finder.find(text);
        for (let at = 0; at < text.length; at++)
          expect(found.some(([from, to]) => from <= at && at < to)).toBe(covered(at));
        for (const [i, [from]] of found.entries())
          expect(from).toBeGreaterThanOrEqual(found[i - 1]?.[1] ?? 0);
      },
    ),
  );
});

test("redacting is linear: secrets that share their beginnings cost a long line no more", () => {
  const redactor = new Redactor();
  for (let i = 0; i < 50; i++) redactor.add(`${"a".repeat(2000)}${i}`);
  redactor.add(`${"ab".repeat(100_000)}!`);
  const began = performance.now();
  redactor.redact("a".repeat(2_000_000));
  redactor.redact("://u:".repeat(200_000));
  redactor.redact("Bearer ".repeat(200_000));
  expect(performance.now() - began).toBeLessThan(5000);
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
