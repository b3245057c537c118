import { expect, test } from "bun:test";
import fc from "fast-check";
import { match } from "../../src/commands/dispatch.ts";
import { commandHelp, overview } from "../../src/commands/help.ts";
import { commands } from "../../src/commands/index.ts";
import { parseDigest } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { describeChange, parseEnv, renderEnv } from "../../src/rack/env-text.ts";
import { newId } from "../../src/rack/ids.ts";
import { fields, table } from "../../src/terminal/table.ts";
import { ago, bytes, elapsed } from "../../src/terminal/time.ts";

const now = new Date("2026-11-21T12:00:00Z");
const before = (seconds: number) => new Date(now.getTime() - seconds * 1000).toISOString();

test.each([
  [0, "now"],
  [1, "1 second ago"],
  [59, "59 seconds ago"],
  [60, "1 minute ago"],
  [7199, "1 hour ago"],
  [86400 * 6, "6 days ago"],
  [86400 * 7, "1 week ago"],
  [86400 * 29, "4 weeks ago"],
  [86400 * 30, "1 month ago"],
  [86400 * 360, "1 year ago"],
  [86400 * 600, "2 years ago"],
  [86400 * 1100, "3 years ago"],
  [-120, "2 minutes from now"],
])("%p seconds are %p", (seconds, text) => {
  expect(ago(before(seconds), now)).toBe(text);
});

test("elapsed time is in seconds, then minutes that never become hours, and empty while it runs", () => {
  expect(elapsed(before(25), before(0))).toBe("25s");
  expect(elapsed(before(4503), before(0))).toBe("75m3s");
  expect(elapsed(before(25), "0001-01-01T00:00:00Z")).toBe("");
});

test("tables pad all columns but the last, and wide characters count twice", () => {
  expect(
    table(
      ["ID", "NAME"],
      [
        ["1", "x"],
        ["12345", ""],
      ],
    ),
  ).toBe("ID     NAME\n1      x\n12345  \n");
  expect(table(["A", "B"], [["日本", "x"]])).toBe("A     B\n日本  x\n");
  expect(
    fields([
      ["Id", "1"],
      ["Env", "A=1\nB=2"],
    ]),
  ).toBe("Id   1\nEnv  A=1\n     B=2\n");
});

test("bytes are shown in decimal units", () => {
  expect([0, 999, 1000, 1_500_000, 123_456_789_000].map(bytes)).toEqual([
    "0 B",
    "999 B",
    "1 kB",
    "1.5 MB",
    "123 GB",
  ]);
});

test("flags keep the exact strings that were typed", () => {
  const values = ["1.10", "007", "0x10", "1e5", "", "12345678901234567890", "true"];
  for (const value of values)
    expect(match(commands, ["build", "--description", value]).input.text("description")).toBe(value);
  expect(match(commands, ["builds", "info", "0123"]).input.args).toEqual(["0123"]);
  expect(
    match(commands, ["build", "--build-args", "A=1", "--build-args=B=x,y"]).input.texts("build-args"),
  ).toEqual(["A=1", "B=x,y"]);
});

test("commands of two words are found, with flags before, between and after", () => {
  for (const argv of [
    ["builds", "export", "B1", "-a", "x"],
    ["-a", "x", "builds", "export", "B1"],
    ["builds", "--app=x", "export", "B1"],
  ]) {
    const { command, input } = match(commands, argv);
    expect([command.name, input.args, input.text("app")]).toEqual(["builds export", ["B1"], "x"]);
  }
  expect(match(commands, ["build", "--no-cache=false"]).input.on("no-cache")).toBe(false);
});

test.each([
  [["bulid"], /did you mean|unknown command/],
  [["builds", "exprt", "B1"], /unknown command/],
  [["builds", "--nope"], /--nope/],
  [["builds", "info"], /1 arg required/],
  [["build", "a", "b"], /no more than 1 arg expected/],
  [["apps", "extra"], /unknown command|takes no arguments/],
])("%p is a usage error", (argv, message) => {
  let thrown: unknown;
  try {
    match(commands, argv);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toMatchObject({ code: "usage" });
  expect(String(thrown)).toMatch(message);
});

test("every command has help with a usage line and an example", async () => {
  for (const command of commands) {
    const help = await commandHelp(command);
    expect(help).toContain(`davit ${command.name}`);
    expect(command.examples.length).toBeGreaterThan(0);
    expect(overview(commands)).toContain(command.summary);
  }
});

test("digests are lower-case hex of the right length, and nothing else", () => {
  expect(parseDigest(`sha256:${"a".repeat(64)}`)).toBe(`sha256:${"a".repeat(64)}`);
  for (const bad of [
    "",
    "sha256:",
    `sha256:${"A".repeat(64)}`,
    `sha256:${"a".repeat(63)}`,
    "md5:aa",
    "sha256:../../etc/passwd",
    `sha512:${"a".repeat(64)}`,
  ])
    expect(() => parseDigest(bad)).toThrow("not sha256 or sha512");
});

test.each([
  ["redis", "docker.io", "library/redis", "latest"],
  ["user/app:1.10", "docker.io", "user/app", "1.10"],
  ["localhost/app", "localhost", "app", "latest"],
  ["127.0.0.1:5000/a/b:x", "127.0.0.1:5000", "a/b", "x"],
  ["ghcr.io/o/r", "ghcr.io", "o/r", "latest"],
])("reference %p is %p %p %p", (text, host, repository, tag) => {
  expect(parseReference(text)).toEqual({ host, repository, tag, digest: undefined });
});

test("what is no reference is refused", () => {
  for (const bad of [
    "",
    "-x",
    "a b",
    "a/UPPER",
    "a:b:c",
    "a@b",
    "host.io/",
    "x".repeat(300),
    "a//b",
    "a/../b",
  ])
    expect(() => parseReference(bad)).toThrow();
});

test("env text survives being read and written", () => {
  const name = fc.stringMatching(/^[A-Z][A-Z0-9_]{0,10}$/);
  const value = fc.string().filter((text) => !/[\n\r]/.test(text));
  fc.assert(
    fc.property(fc.dictionary(name, value), (env) => expect(parseEnv(renderEnv(env))).toEqual({ ...env })),
  );
  expect(parseEnv("A=1=2\nno line\n B =3")).toEqual({ A: "1=2", B: "3" });
  expect(describeChange({ A: "1", B: "1" }, { B: "2", C: "1" })).toBe("env add:C change:B remove:A");
});

test("ids are a letter and ten capitals, each as likely", () => {
  const counts = new Map<string, number>();
  for (let i = 0; i < 2000; i++)
    for (const letter of newId("B").slice(1)) counts.set(letter, (counts.get(letter) ?? 0) + 1);
  expect(newId("R")).toMatch(/^R[A-Z]{10}$/);
  expect(counts.size).toBe(26);
  for (const count of counts.values()) expect(Math.abs(count - 20000 / 26)).toBeLessThan(200);
});
