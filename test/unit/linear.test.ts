import { expect, test } from "bun:test";
import { BuildLog } from "../../src/build/build-log.ts";
import { parseDockerfile } from "../../src/build/dockerfile.ts";
import { IgnoreRules } from "../../src/build/dockerignore.ts";
import { Redactor } from "../../src/build/redact.ts";
import { parseSourceUrl } from "../../src/build/source-url.ts";
import { isCopied } from "../../src/build/step-causes.ts";
import { parsePlace } from "../../src/bundle/place.ts";
import { encode } from "../../src/bytes.ts";
import { milliseconds } from "../../src/duration.ts";
import { readSection } from "../../src/http/aws-credentials.ts";
import { parseChallenges } from "../../src/http/challenge.ts";
import { findMistake, isTooDeep } from "../../src/json-scan.ts";
import { LineSplitter } from "../../src/lines.ts";
import { interpolate } from "../../src/manifest/convox-yml.ts";
import { parseSchedule } from "../../src/manifest/schedule.ts";
import { checkedName } from "../../src/oci/archive-names.ts";
import { isDigest } from "../../src/oci/digest.ts";
import { tagOf } from "../../src/oci/names.ts";
import { checkHost, isRepository, parseReference } from "../../src/oci/reference.ts";
import { nextPage } from "../../src/oci/registry-referrers.ts";
import { endOf } from "../../src/oci/registry-upload.ts";
import { describeChange, parseEnv } from "../../src/rack/env-text.ts";
import { parseAddress } from "../../src/server/listen.ts";
import { rangeOf } from "../../src/server/registry/blobs.ts";
import { match } from "../../src/server/route.ts";
import { routes } from "../../src/server/routes.ts";
import { shellQuote, shellWords } from "../../src/shell-words.ts";
import { parsePax } from "../../src/tar/pax.ts";
import { parseListing } from "../../src/tree/listing.ts";
import { parseSize } from "../../src/volumes.ts";
import { isSuperlinear } from "../support/regex-check.ts";
import { stepsOf } from "../support/steps-taken.ts";

/** What others send, and what reads it; a text may begin in ways that get it past the first look. */
const PARSERS: [name: string, parse: (text: string) => unknown, beginnings?: string[]][] = [
  ["JSON that is checked", findMistake, ['{"', '{"a":"', "[[["]],
  ["the depth of JSON", isTooDeep, ['"']],
  ["WWW-Authenticate", parseChallenges, ["Bearer ", 'Bearer a="', "Bearer a="]],
  ["Link", (text) => nextPage(text, "https://a.example"), ["<", "<a>; "]],
  ["the range of an upload", (text) => endOf(new Response(null, { headers: { range: `0-${text.trim()}` } }))],
  ["Range", (text) => rangeOf(text, 100), ["bytes="]],
  ["an image's name", parseReference, ["a/", "a:", "A.b/", "a@sha256:"]],
  ["a repository's name", isRepository, ["a", "a/"]],
  ["a registry's host", checkHost, ["a.", "["]],
  ["a digest", isDigest, ["sha256:"]],
  ["a tag in a name", tagOf, ["a:", "a/"]],
  ["env", parseEnv, ["A="]],
  ["a change of env", (text) => describeChange(parseEnv(text), {}), ["A="]],
  [
    "a Dockerfile",
    parseDockerfile,
    ["FROM a\nRUN ", "FROM a\nRUN <<A\n", "ARG ", "# escape=`\n", "RUN <<A "],
  ],
  ["ignore patterns", (text) => IgnoreRules.parse(text), ["!", "a[", "/"]],
  ["a path and nasty ignore patterns", judge, ["a/", "**"]],
  ["a nasty path and an ignore pattern", (text) => IgnoreRules.parse(text).judge("aaaa/aaaa/b"), ["*a"]],
  ["interpolation", (text) => interpolate(text, { a: "x" }), ["${", "${a"]],
  ["a schedule", parseSchedule, ["* * * * ", "0-59/"]],
  ["a command", shellWords, ["'", '"', "a\\"]],
  ["a quoted command", shellQuote],
  ["a time", milliseconds, ["1", "1."]],
  ["a size", (text) => parseSize(text, "a size"), ["1", "1."]],
  ["an extended header", (text) => parsePax(encode(text)), ["6 a=b\n", "1000 "]],
  ["an entry's name", (name) => checkedName({ ...ENTRY, name }), ["./", "blobs/"]],
  ["a source's address", parseSourceUrl, ["https://a/", "git@a:", "https://a/b#", "ssh://"]],
  ["a step's sources", (text) => isCopied("a/b", text), ["COPY ", "COPY --", "COPY ["]],
  ["where an image is", parsePlace, ["oci:", "archive:a:", "docker:"]],
  ["an ini file", (text) => readSection(text, "a"), ["[a]\n", "[a]\na = ", "["]],
  ["an address to listen on", parseAddress, ["[", ":"]],
  [
    "the path of a request",
    (text) => routes.map((route) => match(route, text)),
    ["/apps/", "/apps/a/objects/"],
  ],
  ["a directory's listing", parseListing, ['["file",', "["]],
  ["a log that is redacted", redact, ["Bearer ", "https://", "https://a:", "secret-valu"]],
  [
    "a line of a log",
    (text) =>
      new BuildLog(
        async () => undefined,
        () => undefined,
      ).line(text),
    ["\x1b[", "\x1b]"],
  ],
  ["a log in small pieces", inPieces],
];

const PIECES = [
  ...["[", "]", "{", "}", "(", "<", ">", "/", "a/", "../", "./", "\\", '"', "'", " ", "\t", "\n", "\r\n"],
  ...["a", "a ", "a\n", "A=1\n", "=", ":", ",", ";", "-", "a-", ".", "a.", "_", "*", "**", "**/", "*a", "?"],
  ...["[a]", "!a*\n", "#\n", "$", "${a}", "@", "%41", "1", "1d", "0,", "0-59,", "<<A ", '""', '"a":', '\\"'],
  ...[
    "FROM a\n",
    "RUN <<A\nA\n",
    "a \\\n",
    "ARG a=b ",
    "\u0000",
    "\u001b[",
    "\u00e9",
    "\ud83d\ude00",
    "<> ",
    "6 a=b\n",
  ],
];

const SIZE = 1500;
/** Steps that do not depend on the text. */
const SPARE = 1000;

for (const [name, parse, beginnings = []] of PARSERS)
  test(`reading ${name} takes twice the steps for twice the text`, () => {
    const slow: string[] = [];
    for (const beginning of ["", ...beginnings])
      for (const piece of PIECES)
        for (const end of ["", "\u0001x"]) {
          const text = (size: number) => beginning + piece.repeat(Math.ceil(size / piece.length)) + end;
          const [once, twice] = [stepsOf(() => parse(text(SIZE))), stepsOf(() => parse(text(2 * SIZE)))];
          if (twice > 2.5 * once + SPARE)
            slow.push(`${JSON.stringify(beginning + piece)}: ${once}, ${twice}`);
        }
    expect(slow).toEqual([]);
  });

test("the expressions that routes are made into are looked for once only", () => {
  expect(routes.filter(({ pattern }) => isSuperlinear(pattern.source, pattern.flags))).toEqual([]);
});

test("the count of steps sees what goes back: by itself, in a list, in an expression", () => {
  const cuts = (text: string) => {
    for (let rest = text; rest !== ""; ) rest = rest.slice(1);
  };
  const grows = (text: string) => {
    let known: string[] = [];
    for (const char of text) known = known.concat(char);
  };
  for (const parse of [cuts, grows, (text: string) => text.split("").map(() => text.indexOf("b"))])
    expect(stepsOf(() => parse("a".repeat(2000)))).toBeGreaterThan(
      3 * stepsOf(() => parse("a".repeat(1000))),
    );
});

const ENTRY = {
  ...{ type: "file" as const, linkname: "", mode: 0o644, mtime: 0, size: 0, offset: 0 },
  body: (async function* () {})(),
};

const RULES = IgnoreRules.parse("**/a/**/a/**/b\n*a*a*a*a*b\n!**/[a-z]*/?*x\na**b|c\n(a){2}\n");

function judge(path: string): unknown {
  return RULES.judge(path);
}

function redact(text: string): string {
  const redactor = new Redactor();
  for (let i = 0; i < 5; i++) redactor.add(`secret-value-${i}`);
  return redactor.redact(text);
}

function inPieces(text: string): string[] {
  const splitter = new LineSplitter();
  return [...text].flatMap((piece) => splitter.push(piece));
}
