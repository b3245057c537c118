/*
 * What Go's path/filepath.Match says of a pattern's syntax, ported from its source
 * (BSD-3-Clause). Docker asks `Match(pattern, ".")` for its error alone, and Match
 * stops at the first part that does not fit: later mistakes go unseen, here too.
 */

class BadPattern extends Error {}

export function isBadPattern(pattern: string): boolean {
  try {
    walk([...pattern]);
    return false;
  } catch (error) {
    if (error instanceof BadPattern) return true;
    throw error;
  }
}

function walk(pattern: string[]): void {
  let name = ["."];
  for (let at = 0; at < pattern.length; ) {
    const start = at;
    while (pattern[at] === "*") at++;
    const star = at > start;
    const end = chunkEnd(pattern, at);
    const chunk = pattern.slice(at, end);
    at = end;
    if (star && chunk.length === 0) return;
    const more = at < pattern.length;
    const rest = matchChunk(chunk, name) ?? (star ? matchChunk(chunk, []) : undefined);
    if (rest === undefined || (rest.length > 0 && !more && !star)) return;
    name = rest;
  }
}

/** Where the part before the next star outside of a class ends. */
function chunkEnd(pattern: string[], from: number): number {
  let inClass = false;
  for (let i = from; i < pattern.length; i++) {
    const char = pattern[i];
    if (char === "\\") i++;
    else if (char === "[") inClass = true;
    else if (char === "]") inClass = false;
    else if (char === "*" && !inClass) return i;
  }
  return pattern.length;
}

/** What is left of `name`, or undefined where it does not fit; the whole chunk's syntax is looked at either way. */
function matchChunk(chunk: string[], name: string[]): string[] | undefined {
  let failed = false;
  let rest = name;
  for (let i = 0; i < chunk.length; ) {
    failed ||= rest.length === 0;
    const [next = ""] = rest;
    if (!failed) rest = rest.slice(1);
    if (chunk[i] === "[") {
      const { end, matches } = readClass(chunk, i + 1, next);
      i = end;
      failed ||= !matches;
    } else {
      const wild = chunk[i] === "?";
      if (chunk[i] === "\\" && ++i >= chunk.length) throw new BadPattern();
      failed ||= wild ? next === "/" : chunk[i] !== next;
      i++;
    }
  }
  return failed ? undefined : rest;
}

function readClass(chunk: string[], from: number, char: string): { end: number; matches: boolean } {
  const negated = chunk[from] === "^";
  let i = negated ? from + 1 : from;
  let matches = false;
  for (let ranges = 0; ; ranges++) {
    if (chunk[i] === "]" && ranges > 0) return { end: i + 1, matches: matches !== negated };
    const low = readOne(chunk, i);
    let high = low;
    if (chunk[low.end] === "-") high = readOne(chunk, low.end + 1);
    if (low.char <= char && char <= high.char) matches = true;
    i = high.end;
  }
}

/** One end of a range. A class that is not closed after it is a mistake. */
function readOne(chunk: string[], from: number): { char: string; end: number } {
  if (chunk[from] === "-" || chunk[from] === "]") throw new BadPattern();
  const at = chunk[from] === "\\" ? from + 1 : from;
  const char = chunk[at];
  if (char === undefined || at + 1 >= chunk.length) throw new BadPattern();
  return { char, end: at + 1 };
}
