/*
 * Whether a backtracking matcher can take more than linear time for an expression: whether there
 * are two ways to read one text that go round in a loop (exponential), or from one loop into another
 * (polynomial), with something behind that can fail. Looking for a match at every place is such a loop, too.
 * After Weideman and others, "Analyzing Matching Time Behavior of Backtracking Regular Expression
 * Matchers by Using Ambiguity of NFA" (2016). Counts above one are loops, and what is looked ahead at is left out.
 */

type Node =
  | { kind: "atom"; set: bigint }
  | { kind: "sequence" | "choice"; parts: Node[] }
  | { kind: "repeat"; part: Node; least: number; most: number };

/** Characters of ASCII, and one for all others; a set has a bit for each. */
const CODES = Array.from({ length: 129 }, (_, code) => code);
const ANY = (1n << 129n) - 1n;
/** Where a text begins and ends, which `^` and `$` read. */
const START = 1n << 130n;
const END = 1n << 131n;

export function isSuperlinear(source: string, flags: string): boolean {
  const automaton = new Automaton(new Reader(source, flags).read());
  if (automaton.states.some((state) => automaton.turnsFreely(state))) return true;
  const loops = automaton.states.filter((state) => automaton.comesBack(state, state));
  return loops.some(
    (one) => automaton.isAmbiguous(one) || loops.some((other) => automaton.overlaps(one, other)),
  );
}

class Reader {
  readonly #source: string;
  readonly #flags: string;
  #at = 0;

  constructor(source: string, flags: string) {
    this.#source = source;
    this.#flags = flags;
  }

  read(): Node {
    const parts = [this.#sequence()];
    while (this.#eat("|")) parts.push(this.#sequence());
    return { kind: "choice", parts };
  }

  #sequence(): Node {
    const parts: Node[] = [];
    while (this.#at < this.#source.length && !"|)".includes(this.#source[this.#at] ?? ""))
      parts.push(this.#term());
    return { kind: "sequence", parts };
  }

  #term(): Node {
    const part = this.#atom();
    const found = /^(?:[*+?]|\{(\d+)(,?)(\d*)\})\??/.exec(this.#source.slice(this.#at, this.#at + 20));
    if (!found) return part;
    this.#at += found[0].length;
    const [all, count = "0", comma, limit] = found;
    const least = all.startsWith("+") ? 1 : Number(count);
    const endless = /^[*+]/.test(all) || (comma === "," && limit === "");
    const most = endless ? Number.POSITIVE_INFINITY : all.startsWith("?") ? 1 : Number(limit || count);
    return { kind: "repeat", part, least, most };
  }

  #atom(): Node {
    const char = this.#source[this.#at++] ?? "";
    const byLine = this.#flags.includes("m") ? 1n << 10n : 0n;
    if (char === "(") return this.#group();
    if (char === "^") return { kind: "atom", set: START | byLine };
    if (char === "$") return { kind: "atom", set: END | byLine };
    if (char === "[") return this.#class();
    if (char === ".") return this.#one(char);
    if (char !== "\\") return this.#one(char.replace(/[\]{}/]/, "\\$&"));
    const escaped =
      /^(?:x[0-9a-f]{2}|u[0-9a-f]{4}|p\{\w+\}|.)/is.exec(this.#source.slice(this.#at))?.[0] ?? "";
    this.#at += escaped.length;
    return /^b$/i.test(escaped) ? NOTHING : this.#one(`\\${escaped}`);
  }

  #group(): Node {
    const head = /^\?(?:[:=!]|<[=!]|<\w+>)/.exec(this.#source.slice(this.#at, this.#at + 30))?.[0] ?? "";
    this.#at += head.length;
    const inner = this.read();
    if (!this.#eat(")")) throw new Error(`cannot read /${this.#source}/`);
    return /[=!]$/.test(head) ? NOTHING : inner;
  }

  #class(): Node {
    const start = this.#at - 1;
    while (this.#source[this.#at] !== "]") this.#at += this.#source[this.#at] === "\\" ? 2 : 1;
    return this.#one(this.#source.slice(start, ++this.#at));
  }

  #one(text: string): Node {
    const test = new RegExp(`^${text}$`, this.#flags.replace(/[gymd]/g, ""));
    const codes = CODES.filter((code) => test.test(String.fromCharCode(code === 128 ? 0xe9 : code)));
    return { kind: "atom", set: codes.reduce((set, code) => set | (1n << BigInt(code)), 0n) };
  }

  #eat(char: string): boolean {
    if (this.#source[this.#at] !== char) return false;
    this.#at++;
    return true;
  }
}

const NOTHING: Node = { kind: "sequence", parts: [] };

interface State {
  on: Step[];
  free: State[];
}

interface Step {
  set: bigint;
  to: State;
}

class Automaton {
  readonly states: State[] = [];
  readonly #end = this.#add();
  readonly #next = new Map<State, Step[]>();

  constructor(node: Node) {
    const start = this.#add();
    start.on.push({ set: ANY, to: start });
    this.#build(node, start).free.push(this.#end);
    for (const state of this.states) this.#next.set(state, [...this.#steps(state, [])]);
  }

  /** Whether a loop can go round without a character. */
  turnsFreely(state: State): boolean {
    const seen = new Set<State>();
    const left = [...state.free];
    for (let at = left.pop(); at; at = left.pop()) {
      if (at === state) return true;
      if (seen.has(at)) continue;
      seen.add(at);
      left.push(...at.free);
    }
    return false;
  }

  /** Whether some text leads from one state to the other. */
  comesBack(from: State, to: State): boolean {
    return this.#search(
      [from],
      (at) => at[0] === to,
      () => true,
    );
  }

  /** Two ways round one loop for the same text, and then something that can fail. */
  isAmbiguous(state: State): boolean {
    if (this.#alwaysEnds(state)) return false;
    const round = this.#after(state).filter(({ to }) => this.comesBack(to, state));
    return round.some((one, i) =>
      round.some(
        (other, j) =>
          j > i &&
          (one.set & other.set) !== 0n &&
          (one.to === other.to ||
            this.#search(
              [one.to, other.to],
              (at) => at[0] === state && at[1] === state,
              () => true,
            )),
      ),
    );
  }

  /** Whether one text goes round the first loop, round the second, and from the first into the second. */
  overlaps(first: State, second: State): boolean {
    if (first === second || this.#alwaysEnds(second)) return false;
    const inside = (state: State, loop: State) => this.comesBack(state, loop) || state === loop;
    return this.#search(
      [first, first, second],
      (at) => at[0] === first && at[1] === second && at[2] === second,
      ([a, b, c]) =>
        a !== undefined &&
        b !== undefined &&
        c !== undefined &&
        inside(a, first) &&
        inside(c, second) &&
        inside(b, second),
    );
  }

  /** Whether several walks, each from its state, read one text and come to a goal. */
  #search(from: State[], isGoal: (at: State[]) => boolean, isWanted: (at: State[]) => boolean): boolean {
    const seen = new Set<string>();
    const left = [from];
    for (let at = left.pop(); at; at = left.pop())
      for (const reached of this.#together(at, ~0n)) {
        if (isGoal(reached)) return true;
        const key = reached.map((state) => this.states.indexOf(state)).join();
        if (seen.has(key) || !isWanted(reached)) continue;
        seen.add(key);
        left.push(reached);
      }
    return false;
  }

  *#together([first, ...others]: State[], set: bigint): Generator<State[]> {
    if (!first) return yield [];
    for (const step of this.#after(first))
      if ((step.set & set) !== 0n)
        for (const rest of this.#together(others, step.set & set)) yield [step.to, ...rest];
  }

  #after(state: State): Step[] {
    return this.#next.get(state) ?? [];
  }

  /** Steps by a character, once for each way that leads to them for free. */
  *#steps(state: State, before: State[]): Generator<Step> {
    yield* state.on;
    for (const next of state.free) if (!before.includes(next)) yield* this.#steps(next, [...before, state]);
  }

  /** Whether the end is reached whatever comes: then nothing is tried a second time. */
  #alwaysEnds(state: State, before: State[] = []): boolean {
    if (state === this.#end) return true;
    return state.free.some((next) => !before.includes(next) && this.#alwaysEnds(next, [...before, state]));
  }

  #add(): State {
    const state: State = { on: [], free: [] };
    this.states.push(state);
    return state;
  }

  #build(node: Node, from: State): State {
    if (node.kind === "repeat") return this.#repeat(node, from);
    if (node.kind === "sequence") return node.parts.reduce((at, part) => this.#build(part, at), from);
    const to = this.#add();
    if (node.kind === "atom") from.on.push({ set: node.set, to });
    else
      for (const part of node.parts) {
        const inner = this.#add();
        from.free.push(inner);
        this.#build(part, inner).free.push(to);
      }
    return to;
  }

  #repeat({ part, least, most }: Node & { kind: "repeat" }, from: State): State {
    const to = this.#add();
    let at = from;
    // A few of them are as good as many.
    for (let i = 0; i < Math.min(least, 2); i++) at = this.#build(part, at);
    if (most > least + 1) {
      const loop = this.#add();
      at.free.push(loop);
      this.#build(part, loop).free.push(loop);
      at = loop;
    } else if (most > least) this.#build(part, at).free.push(to);
    at.free.push(to);
    return to;
  }
}
