import { expect, test } from "bun:test";
import fc from "fast-check";
import { IgnoreRules, type ParentMatches } from "../../src/build/dockerignore.ts";
import fixtures from "../fixtures/dockerignore.json";

/** Judges a path the way a walk does: parents first, their matches carried down. */
function ignored(rules: IgnoreRules, path: string): boolean {
  let matches: ParentMatches = [];
  let result = false;
  const names = path.split("/");
  for (let i = 1; i <= names.length; i++) {
    const verdict = rules.judge(names.slice(0, i).join("/"), matches);
    matches = verdict.matches;
    result = verdict.ignored;
  }
  return result;
}

/** Pattern, path, whether it is ignored: from the tables of moby/patternmatcher (Apache-2.0). */
const table: [string, string, boolean][] = [
  ["**", "file", true],
  ["**", "file/", true],
  ["**/", "file", true],
  ["**", "/", true],
  ["**", "dir/file", true],
  ["**/", "dir/file", true],
  ["**/**", "dir/file", true],
  ["dir/**", "dir/file", true],
  ["dir/**", "dir/dir2/file", true],
  ["**/dir", "dir", true],
  ["**/dir", "dir/file", true],
  ["**/dir2/*", "dir/dir2/file", true],
  ["**/dir2/*", "dir/dir2/dir2/file", true],
  ["**file", "file", true],
  ["**file", "dir/file", true],
  ["**/file", "dir/dir/file", true],
  ["**/file*", "dir/dir/file.txt", true],
  ["**/file*txt", "dir/dir/file.txt", true],
  ["**/**/*.txt", "dir/dir/file.txt", true],
  ["**/**/*.txt2", "dir/dir/file.txt", false],
  ["**/*.txt", "file.txt", true],
  ["a**/*.txt", "a/file.txt", true],
  ["a**/*.txt", "a/dir/file.txt", true],
  ["a[b-d]e", "ae", false],
  ["a[b-d]e", "ace", true],
  ["a[^b-d]e", "aze", true],
  [".*", ".foo", true],
  [".*", "foo", false],
  ["abc.def", "abcdef", false],
  ["abc.def", "abc.def", true],
  ["abc.def", "abcZdef", false],
  ["abc?def", "abcZdef", true],
  ["abc?def", "abcdef", false],
  ["a\\\\", "a\\", true],
  ["**/foo/bar", "foo/bar", true],
  ["**/foo/bar", "dir/foo/bar", true],
  ["abc/**", "abc", false],
  ["abc/**", "abc/def", true],
  ["**/.foo", ".foo", true],
  ["**/.foo", "bar.foo", false],
  ["a(b)c/def", "a(b)c/def", true],
  ["a.|)$(}+{bc", "a.|)$(}+{bc", true],
  [
    "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
    "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl",
    true,
  ],
  ["*", "a/b/c", true],
  ["*", "a", true],
  ["node_modules", "node_modules/x/y", true],
  ["node_modules", "web/node_modules", false],
  ["./a/../b", "b", true],
  ["/rooted", "rooted", true],
  ["*.GO", "a.go", false],
];

test.each(table)("%p on %p: %p", (pattern, path, expected) => {
  expect(ignored(IgnoreRules.parse(pattern), path.replace(/(.)\/$/, "$1"))).toBe(expected);
});

test("the last pattern that matches wins, and what a parent was told is carried down", () => {
  expect(ignored(IgnoreRules.parse("**/*.md\n!docs/b\n"), "docs/b/c.md")).toBe(true);
  const others = IgnoreRules.parse("docs\n!docs/README.md\ndocs/README.md\n");
  expect(ignored(others, "docs/README.md")).toBe(true);
  expect(ignored(IgnoreRules.parse("docs\n!docs/README.md\n"), "docs/README.md")).toBe(false);
});

test("five hundred odd files get the verdicts of Docker's own matcher", () => {
  for (const { file, paths, ignored: expected } of fixtures) {
    let verdict: string | null;
    try {
      const rules = IgnoreRules.parse(file);
      verdict = paths.map((path) => (ignored(rules, path) ? "1" : "0")).join("");
    } catch {
      verdict = null;
    }
    // A file whose mistake shows only on a path that was cut off here says less than an error.
    if (expected !== null) expect([file, verdict]).toEqual([file, expected]);
  }
});

test("comments stand in the first column, spaces around a pattern do not count, a BOM is dropped", () => {
  const rules = IgnoreRules.parse("\ufeff# comment\n  #odd\n  a.txt  \n\n! b.txt\n");
  expect(ignored(rules, "#odd")).toBe(true);
  expect(ignored(rules, "a.txt")).toBe(true);
  expect(ignored(rules, "# comment")).toBe(false);
});

test("a malformed pattern names its line", () => {
  for (const bad of ["a[", "a[]", "a[b-]", "a\\", "[-]"]) {
    expect(() => IgnoreRules.parse(`ok\n${bad}`)).toThrow(/line 2, .*syntax error in pattern/);
  }
  expect(() => IgnoreRules.parse("!")).toThrow("line 1");
});

test("a directory is skipped as a whole unless an exception could be inside it", () => {
  const rules = IgnoreRules.parse("node_modules\n!docs/keep/**\n");
  expect(rules.mayHoldExceptions("node_modules")).toBe(false);
  expect(rules.mayHoldExceptions("docs")).toBe(true);
  expect(IgnoreRules.parse("a\n!**/x").mayHoldExceptions("a")).toBe(true);
});

test("a pattern without wildcards ignores just its own path and what is below", () => {
  const name = fc.stringMatching(/^[a-z+().|{}$^-]{1,8}$/).filter((text) => !text.startsWith("."));
  fc.assert(
    fc.property(name, name, (a, b) => {
      const rules = IgnoreRules.parse(a);
      expect(ignored(rules, a)).toBe(true);
      expect(ignored(rules, `${a}/${b}`)).toBe(true);
      if (a !== b) expect(ignored(rules, b)).toBe(false);
    }),
  );
});

test("parse() never throws anything but a message about a line", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      try {
        ignored(IgnoreRules.parse(text), "a/b");
      } catch (error) {
        expect(String(error)).toContain("line ");
      }
    }),
    { numRuns: 1000 },
  );
});
