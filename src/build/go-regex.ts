import { Scanner } from "../scanner.ts";

/*
 * Go's regular expressions as far as ignore patterns make them: characters, classes, one kind of
 * group, `|`, `*`, `?`, `{n,m}`. They run on all their states at once (Thompson, 1968), so the
 * steps are at most states × characters, whatever the expression and the text.
 */

/** A longer program is refused: `{1000}` behind `{1000}` would fill the memory. */
const MAX_STATES = 4096;
/** So is a longer expression, in characters. */
const MAX_LENGTH = 8 * 1024;
/** As Go has it. */
const MAX_REPEAT = 1000;

type Test = (point: number) => boolean;

type State =
  | { kind: "one"; test: Test; next: number }
  | { kind: "split"; next: number; other: number }
  | { kind: "assert"; holds(before: number, after: number): boolean; next: number }
  | { kind: "end" };

export class BadRegex extends Error {}

/** Compiles an expression. The function that it returns tells whether the expression matches any part of a text. Throws `BadRegex`. */
export function compileRegex(source: string): (text: string) => boolean {
  if (source.length > MAX_LENGTH) throw new BadRegex();
  const states = new Compiler(source).compile();
  const anchored = source.startsWith("^") && !source.includes("|");
  return (text) => runs(states, text, anchored);
}

/** Emits states that go on at `next`, and gives the first of them. */
type Part = (next: number) => number;

class Compiler {
  readonly #source: Source;
  readonly #states: State[] = [];

  constructor(source: string) {
    this.#source = new Source(source);
  }

  /** The last state is the first to run. */
  compile(): State[] {
    const end = this.#add({ kind: "end" });
    const first = this.#alternatives()(end);
    this.#add({ kind: "split", next: first, other: first });
    return this.#states;
  }

  #add(state: State): number {
    if (this.#states.length >= MAX_STATES) throw new BadRegex();
    return this.#states.push(state) - 1;
  }

  #alternatives(): Part {
    const parts = [this.#sequence()];
    while (this.#source.eat("|")) parts.push(this.#sequence());
    return parts.reduceRight((rest, part) => (next) => {
      const [one, other] = [part(next), rest(next)];
      return this.#add({ kind: "split", next: one, other });
    });
  }

  #sequence(): Part {
    const parts: Part[] = [];
    while (!["", "|", ")"].includes(this.#source.peek())) parts.push(this.#quantified(this.#atom()));
    return (next) => parts.reduceRight((at, part) => part(at), next);
  }

  #atom(): Part {
    const char = this.#source.next();
    if (char === "(") {
      const inner = this.#sequence();
      if (!this.#source.eat(")")) throw new BadRegex();
      return inner;
    }
    if (char === "*" || char === "?") throw new BadRegex();
    if (char === "^") return this.#assert((before) => before < 0);
    if (char === "$") return this.#assert((_, after) => after < 0);
    if (char === ".") return this.#one((point) => point !== 0x0a);
    if (char === "[") return this.#one(this.#source.class());
    if (char === "\\") return this.#escape(this.#source.next());
    return this.#one(exactly(char));
  }

  #escape(char: string): Part {
    if (char === "A") return this.#assert((before) => before < 0);
    if (char === "z") return this.#assert((_, after) => after < 0);
    if (char === "b") return this.#assert((before, after) => isWordPoint(before) !== isWordPoint(after));
    if (char === "B") return this.#assert((before, after) => isWordPoint(before) === isWordPoint(after));
    return this.#one(escapedTest(char));
  }

  #one(test: Test): Part {
    return (next) => this.#add({ kind: "one", test, next });
  }

  #assert(holds: (before: number, after: number) => boolean): Part {
    return (next) => this.#add({ kind: "assert", holds, next });
  }

  #quantified(part: Part): Part {
    const range = this.#source.quantifier();
    if (!range) return part;
    if (this.#source.quantifier()) throw new BadRegex();
    const [least, most] = range;
    return (next) => {
      let at = most === undefined ? this.#star(part, next) : next;
      for (let i = least; i < (most ?? least); i++)
        at = this.#add({ kind: "split", next: part(at), other: next });
      for (let i = 0; i < least; i++) at = part(at);
      return at;
    };
  }

  #star(part: Part, next: number): number {
    const split: State = { kind: "split", next, other: next };
    const at = this.#add(split);
    split.next = part(at);
    return at;
  }
}

/** An expression's text, by whole characters. */
class Source {
  readonly #chars: string[];
  #at = 0;

  constructor(text: string) {
    this.#chars = [...text];
  }

  peek(): string {
    Scanner.steps++;
    return this.#chars[this.#at] ?? "";
  }

  next(): string {
    const char = this.peek();
    this.#at++;
    return char;
  }

  eat(char: string): boolean {
    if (this.peek() !== char) return false;
    this.#at++;
    return true;
  }

  /** Reads a quantifier, if one follows. `most` is undefined where there is no upper limit. */
  quantifier(): [least: number, most: number | undefined] | undefined {
    if (this.eat("*")) return [0, undefined];
    if (this.eat("?")) return [0, 1];
    if (this.peek() !== "{") return undefined;
    // A brace that begins no count is a character, in Go too.
    const head = this.#chars.slice(this.#at, this.#at + 16).join("");
    const [all, least = "", comma, most = ""] = /^\{(\d{1,5})(,(\d{0,5}))?\}/.exec(head) ?? [];
    if (all === undefined) return undefined;
    this.#at += all.length;
    const range: [number, number | undefined] = [
      Number(least),
      comma === undefined ? Number(least) : most === "" ? undefined : Number(most),
    ];
    if (range[0] > MAX_REPEAT || (range[1] ?? range[0]) > MAX_REPEAT || (range[1] ?? range[0]) < range[0])
      throw new BadRegex();
    return range;
  }

  /** The rest of a class. A `]` that comes first is one of its characters. */
  class(): Test {
    const negated = this.eat("^");
    const tests: Test[] = [];
    for (let first = true; first || this.peek() !== "]"; first = false) {
      const low = this.#member();
      if (this.peek() !== "-" || [undefined, "]"].includes(this.#chars[this.#at + 1])) tests.push(low.test);
      else {
        this.#at++;
        const [from, to] = [low.point, this.#member().point];
        if (from === undefined || to === undefined || from > to) throw new BadRegex();
        tests.push((point) => point >= from && point <= to);
      }
    }
    this.#at++;
    return (point) =>
      tests.some((test) => {
        Scanner.steps++;
        return test(point);
      }) !== negated;
  }

  #member(): { point: number | undefined; test: Test } {
    const char = this.next();
    if (char === "") throw new BadRegex();
    if (char !== "\\") return { point: char.codePointAt(0), test: exactly(char) };
    const escaped = this.next();
    const point = pointOf(escaped);
    return { point, test: point === undefined ? escapedTest(escaped) : (other) => other === point };
  }
}

function exactly(char: string): Test {
  const wanted = char.codePointAt(0);
  return (point) => point === wanted;
}

const CODES: Record<string, number> = { a: 7, f: 12, n: 10, r: 13, t: 9, v: 11 };

/** The character that an escape stands for; undefined where it is none, or a class. */
function pointOf(char: string): number | undefined {
  return CODES[char] ?? (/^[!-/:-@[-`{-~ ]$/.test(char) ? char.codePointAt(0) : undefined);
}

const CLASSES: Record<string, Test> = {
  d: (point) => point >= 0x30 && point <= 0x39,
  w: isWordPoint,
  s: (point) => [9, 10, 12, 13, 32].includes(point),
};

function escapedTest(char: string): Test {
  const point = pointOf(char);
  if (point !== undefined) return (other) => other === point;
  const test = CLASSES[char.toLowerCase()];
  if (!test) throw new BadRegex();
  return char === char.toLowerCase() ? test : (other) => !test(other);
}

function isWordPoint(point: number): boolean {
  return /^\w$/.test(point < 0 ? "" : String.fromCodePoint(point));
}

const NONE = -1;

/** Whether a run from anywhere, or from the beginning only, comes to the end state. */
function runs(states: readonly State[], text: string, anchored: boolean): boolean {
  const points = Array.from(text, (char) => char.codePointAt(0) ?? NONE);
  const seen = new Int32Array(states.length).fill(NONE);
  let now: number[] = [];
  for (let at = 0; at <= points.length; at++) {
    const [before, after] = [points[at - 1] ?? NONE, points[at] ?? NONE];
    const waiting: number[] = [];
    const open = anchored && at > 0 ? now : [...now, states.length - 1];
    if (open.length === 0) return false;
    for (let state = open.pop(); state !== undefined; state = open.pop()) {
      Scanner.steps++;
      const one = states[state];
      if (!one || seen[state] === at) continue;
      seen[state] = at;
      if (one.kind === "end") return true;
      if (one.kind === "split") open.push(one.next, one.other);
      else if (one.kind === "assert") {
        if (one.holds(before, after)) open.push(one.next);
      } else if (one.test(after)) waiting.push(one.next);
    }
    now = waiting;
  }
  return false;
}
