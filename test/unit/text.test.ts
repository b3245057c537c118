import { expect, test } from "bun:test";
import fc from "fast-check";
import { match, ownWords } from "../../src/commands/dispatch.ts";
import { commandHelp, overview } from "../../src/commands/help.ts";
import { commands } from "../../src/commands/index.ts";
import { parseDigest } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { describeChange, parseEnv, renderEnv } from "../../src/rack/env-text.ts";
import { newId } from "../../src/rack/ids.ts";
import { paintFor } from "../../src/terminal/color.ts";
import { jsonText, logText, shown, visible } from "../../src/terminal/shown.ts";
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
    ).text,
  ).toBe("ID     NAME\n1      x\n12345  \n");
  expect(table(["A", "B"], [["日本", "x"]]).text).toBe("A     B\n日本  x\n");
  expect(
    fields([
      ["Id", "1"],
      ["Env", "A=1\nB=2"],
    ]).text,
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

test.each([
  [
    ["exec", "p", "--", "df", "-h"],
    ["p", "df", "-h"],
  ],
  [
    ["run", "web", "ls", "--help"],
    ["web", "ls", "--help"],
  ],
  [
    ["run", "web", "ls", "-h", "-l", "--color=auto", "-a", "shop"],
    ["web", "ls", "-h", "-l", "--color=auto"],
  ],
  [
    ["run", "-a", "shop", "web", "--", "rake", "-a", "x"],
    ["web", "rake", "-a", "x"],
  ],
  [
    ["-a", "shop", "exec", "p", "sh", "-c", "x --help"],
    ["p", "sh", "-c", "x --help"],
  ],
  [
    ["exec", "p", "cat", "-"],
    ["p", "cat", "-"],
  ],
])("%p runs another program with its own flags", (argv, args) => {
  expect(ownWords(commands, argv).some((word) => word === "--help" || word === "-h")).toBe(false);
  const { input } = match(commands, argv);
  expect(input.args).toEqual(args);
  expect(input.text("app")).toBe(argv.includes("shop") ? "shop" : undefined);
});

test.each([
  [["run", "--help"]],
  [["run", "web", "-h"]],
  [["exec", "-h", "p", "ls", "--help"]],
  [["builds", "export", "--help", "--", "x"]],
])("help of our own is still ours: %p", (argv) => {
  expect(ownWords(commands, argv).some((word) => word === "--help" || word === "-h")).toBe(true);
});

test("unknown flags before another program's name are mistakes, and what stands behind -- is never a flag", () => {
  expect(() => match(commands, ["run", "--nope", "web", "ls"])).toThrow("nope");
  expect(() => match(commands, ["builds", "--", "--json"])).toThrow("no arguments");
});

/** What must not reach a terminal from others: controls, formats, separators, halves of characters. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u;
const HOSTILE = fc.string({
  unit: fc.oneof(
    fc.constantFrom(..."\x00\x07\b\t\n\r\x1b\x7f\x90\x9b\x9d\u200b\u200d\u202e\u2066\u2028\ufeff\ud800[];m"),
    fc.constantFrom("\x1b[2J", "\x1b]0;x\x07", "\x1b[31m", "\x1b]8;;http://x\x1b\\", "日", "é", "a"),
    fc.string({ unit: "binary", maxLength: 3 }),
  ),
});

test("no cell, field or line holds a control character of others, and lines stay as many as they are", () => {
  fc.assert(
    fc.property(HOSTILE, HOSTILE, (a, b) => {
      const whole = table(
        ["A", "B"],
        [
          [a, b],
          [b, a],
        ],
      ).text;
      expect(whole.split("\n").length).toBe(4);
      for (const line of whole.split("\n")) expect(line).not.toMatch(HIDDEN);
      for (const line of fields([[a, b]]).text.split("\n")) expect(line).not.toMatch(HIDDEN);
      expect(shown`${a}, ${b}`.text).not.toMatch(HIDDEN);
      expect(visible(a, "\n").replaceAll("\n", "")).not.toMatch(HIDDEN);
    }),
  );
});

test("colours are ours alone, whatever is painted", async () => {
  const paint = await paintFor(true, {}, false);
  fc.assert(
    fc.property(HOSTILE, (text) => {
      const painted = shown`${paint.bad(text)}${text}${paint.label(text)}`.text;
      expect(painted.replaceAll(/\x1b\[(31|39|90)m/g, "")).not.toMatch(HIDDEN);
      expect(painted.split("\x1b").length).toBe(5);
    }),
  );
});

test("a log keeps its words, its lines and, on a terminal, its colours; nothing else of it acts", () => {
  const log =
    "a\x1b[1;32mgreen\x1b[0m\x1b[2J\x1b[10Ab\x1b]0;title\x07c\x1b]8;;http://x\x1b\\d\x1bMe\x9b31mf\r\n\tg\u202eh\n";
  expect(logText(log, true)).toBe("a\x1b[1;32mgreen\x1b[0mbcde31mf\n\tgh\n");
  expect(logText(log, false)).toBe("agreenbcde31mf\n\tgh\n");
  fc.assert(
    fc.property(HOSTILE, HOSTILE, (a, b) => {
      // However a log is cut, what comes out holds no escape but whole colours.
      const out = logText(a, true) + logText(b, true);
      expect(out.replaceAll(/\x1b\[[0-9;:]*m/g, "")).not.toMatch(
        /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/,
      );
      expect(logText(a, false)).not.toMatch(/\x1b/);
    }),
  );
  const began = performance.now();
  logText("\x1b]".repeat(300_000), true);
  logText("\x1b[;".repeat(300_000), true);
  expect(performance.now() - began).toBeLessThan(3000);
});

test("JSON keeps its value and hides nothing", () => {
  fc.assert(
    fc.property(fc.dictionary(HOSTILE, HOSTILE), (value) => {
      for (const indent of [0, 2]) {
        expect(JSON.parse(jsonText(value, indent))).toEqual(value);
        expect(jsonText(value, indent).replaceAll("\n", "")).not.toMatch(HIDDEN);
      }
    }),
  );
});
