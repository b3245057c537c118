import { expect, test } from "bun:test";
import fc from "fast-check";
import { BuildLog } from "../../src/build/build-log.ts";
import { LineSplitter, MAX_LOG_LINE } from "../../src/lines.ts";

const LIMIT = 64;
const SECRET = "correct-horse-1";

function split(pieces: readonly string[]): string[] {
  const splitter = new LineSplitter(LIMIT);
  return [...pieces.flatMap((piece) => splitter.push(piece)), ...splitter.end()];
}

test("lines are those of the whole text, however it is cut into pieces", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom("a", "bc", "\n", "")), (pieces) => {
      const text = pieces.join("").slice(0, LIMIT);
      const whole = text.split("\n");
      if (whole.at(-1) === "") whole.pop();
      expect(split([...text])).toEqual(whole);
    }),
  );
});

test("of a long line the beginning is kept; what follows it is whole", () => {
  expect(split(["x".repeat(60), "y".repeat(60), "\nnext\n"])).toEqual([`${"x".repeat(60)}yyyy`, "next"]);
});

test("a secret in a log's line that is too long is masked or left out, wherever it stands", async () => {
  const ends = [-1, 0, 1].flatMap((n) => [MAX_LOG_LINE + n, MAX_LOG_LINE - 64 * 1024 + n]);
  for (const before of ends.flatMap((end) => [0, 1, 7, SECRET.length].map((back) => end - back))) {
    let shown = "";
    const log = new BuildLog(
      async () => undefined,
      (text) => {
        shown += text;
      },
    );
    log.redactor.add(SECRET);
    const splitter = new LineSplitter();
    for (const line of splitter.push(`${"-".repeat(before)}${SECRET}${"-".repeat(MAX_LOG_LINE)}\nnext\n`))
      log.line(line);
    expect(shown).toEndWith(" [the line goes on]\nnext\n");
    // What is shown of a secret that was cut would be a part of it.
    expect(shown).not.toContain(SECRET.slice(0, 2));
    await log.flush();
  }
});
