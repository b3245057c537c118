import { expect, test } from "bun:test";
import { DockerfileParser } from "dockerfile-ast";
import fc from "fast-check";
import { parseDockerfile } from "../../src/build/dockerfile.ts";
import { instructionsOf } from "../../src/build/dockerfile-instructions.ts";

const LINES = [
  "FROM a",
  "FROM --platform=linux/amd64 b AS two",
  "from c as Three",
  "ARG A",
  "ARG B=1 C=2",
  'ARG D="x y"',
  "RUN make \\",
  "  && make install",
  "# a comment",
  "",
  "   ",
  "RUN <<EOF",
  "EOF",
  "COPY <<-'X' /y",
  "\tX",
  "CMD",
  "BOGUS a",
  "\tENV a=b",
  "ONBUILD RUN x",
];

test("instructions are split as another reader of Dockerfiles splits them", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...LINES), { maxLength: 12 }), fc.boolean(), (lines, windows) => {
      const text = lines.join(windows ? "\r\n" : "\n");
      const theirs = DockerfileParser.parse(text)
        .getInstructions()
        .map((one) => [one.getKeyword(), one.getRange().start.line + 1]);
      // It reads a heredoc that nothing ends as instructions; BuildKit does not.
      fc.pre(!/<</.test(text) || closed(lines));
      expect([...instructionsOf(text)].map(({ keyword, line }) => [keyword, line])).toEqual(theirs);
    }),
  );
});

function closed(lines: string[]): boolean {
  let waits = "";
  for (const line of lines) {
    if (waits !== "") waits = line.trim() === waits ? "" : waits;
    else if (line.includes("<<EOF")) waits = "EOF";
    else if (line.includes("<<-'X'")) waits = "X";
  }
  return waits === "";
}

test("the escape directive, quotes, heredocs in ONBUILD and a byte order mark are read", () => {
  const words = (text: string) => [...instructionsOf(text)].map((one) => [one.keyword, ...one.words]);
  expect(words("# escape=`\nRUN a `\n b \\\nFROM x")).toEqual([
    ["RUN", "a", "b", "\\"],
    ["FROM", "x"],
  ]);
  expect(words('ENV a="b c" d\\ e')).toEqual([["ENV", 'a="b c"', "d\\ e"]]);
  expect(words("ONBUILD RUN <<A <<B\nx\nA\nFROM y\nB\nFROM z")).toEqual([
    ["ONBUILD", "RUN", "<<A", "<<B"],
    ["FROM", "z"],
  ]);
  expect(words('RUN echo "a <<A"\nFROM z')).toHaveLength(2);
  expect(words("\ufeffFROM a")).toEqual([["FROM", "a"]]);
  expect(words("RUN a \\\n# in between\n\n b")).toEqual([["RUN", "a", "b"]]);
});

test("a Dockerfile of more than a million characters is refused", () => {
  expect(() => parseDockerfile("#".repeat(1024 * 1024 + 1))).toThrow("longer than");
});
