import { expect, test } from "bun:test";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { isSuperlinear } from "../support/regex-check.ts";
import { regexLiterals } from "../support/regex-literals.ts";

const SRC = resolve(import.meta.dir, "../../src");

/** Expressions that could go back over the same text many times, and why they cannot here. */
const BOUNDED: Record<string, string> = {
  "terminal/shown.ts ESCAPES":
    "every count in it ends, so each place is looked at 4,096 characters far at most",
};

test("no regular expression goes back over its text again and again", async () => {
  const found: string[] = [];
  for await (const name of new Glob("**/*.ts").scan(SRC)) {
    const text = await Bun.file(join(SRC, name)).text();
    for (const { source, flags, line } of regexLiterals(text)) {
      if (!isSuperlinear(source, flags)) continue;
      const constant = /const (\w+) =\s*$/.exec(
        text
          .split("\n")
          .slice(0, line - 1)
          .join("\n"),
      )?.[1];
      if (BOUNDED[`${name} ${constant}`] === undefined) found.push(`${name}:${line} /${source}/${flags}`);
    }
    // What is put together at run time cannot be looked at here.
    if (/new RegExp\(/.test(text) && !BUILT.includes(name)) found.push(`${name}: new RegExp`);
  }
  expect(found).toEqual([]);
});

/** These put expressions together from words of our own. */
const BUILT = ["http/aws-credentials.ts", "rack/remote-attach.ts", "server/route.ts", "rack/consent.ts"];

test("the check of expressions knows those that are slow from those that only look it", () => {
  const slow = [
    [/^(a|a)*$/, /^(a+)+$/, /^(a*)*b/, /^(?:x|xx)*$/],
    [/\/+$/, /<([^>]*)>\s*;/i, /\s*,\s*/, /=.*$/, /^[^a-z]+|-+$/g, /^\s*EXPOSE\s+(\d+)/im],
    [/^(.+?):([^/]+)$/, /^\w+\d+$/, /(^|\/)[^/]+\/(.*\/)?\.\.(\/|$)/, /^\s*\[\s*(.*?)\s*\]/],
  ].flat();
  const fast = [
    /^\d+$/,
    /\s+/g,
    /^a+b+$/,
    /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/,
    /(:\/\/[^\s:/@]*:)[^\s@/]+@/g,
  ];
  expect(slow.filter(({ source, flags }) => !isSuperlinear(source, flags))).toEqual([]);
  expect(fast.filter(({ source, flags }) => isSuperlinear(source, flags))).toEqual([]);
});
