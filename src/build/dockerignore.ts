import { DavitError } from "../errors.ts";
import { Scanner } from "../scanner.ts";
import { isBadPattern } from "./go-glob.ts";
import { BadRegex, compileRegex } from "./go-regex.ts";

/*
 * Which files `.dockerignore` keeps out, exactly as BuildKit decides it. The
 * algorithm is that of moby/patternmatcher and tonistiigi/fsutil (Apache-2.0 and
 * MIT), from their source: patterns are tried on every path with what they said
 * about its parent carried along, and the last that matches wins.
 */

/** A longer file is refused, in characters: each pattern is tried on each path. */
const MAX_LENGTH = 64 * 1024;
/** Steps that may be taken for one path, some 20 ms of them: only patterns that are made to be slow need more. */
const MAX_STEPS = 300_000;

/** What each pattern said about a directory; handed to the entries inside it. */
export type ParentMatches = readonly boolean[];

/** A pattern where it stands. */
export interface IgnoreRule {
  /** Its path in the project. */
  file: string;
  line: number;
  /** As it was read, a leading `!` included. */
  text: string;
}

interface Pattern {
  text: string;
  negated: boolean;
  rule?: IgnoreRule;
  matches(path: string): boolean;
}

export interface Verdict {
  ignored: boolean;
  matches: ParentMatches;
  /** The pattern that decided, as written in the file; undefined when none matched. */
  pattern: string | undefined;
  /** Where that pattern stands. */
  rule: IgnoreRule | undefined;
}

export class IgnoreRules {
  readonly #patterns: Pattern[];
  readonly #hasWildExceptions: boolean;

  constructor(patterns: Pattern[]) {
    this.#patterns = patterns;
    this.#hasWildExceptions = patterns.some((p) => p.negated && /[*[\]?^]/.test(withoutLastGlob(p.text)));
  }

  /** Reads the file's text. A malformed pattern is an error that names its line. */
  static parse(text: string, file = ".dockerignore"): IgnoreRules {
    if (text.length > MAX_LENGTH)
      throw new DavitError("invalid", `Cannot read ${file}: it is longer than ${MAX_LENGTH} characters`);
    const patterns: Pattern[] = [];
    for (const [i, raw] of text
      .replace(/^\ufeff/, "")
      .split("\n")
      .entries()) {
      const pattern = parseLine(raw, file, i + 1);
      if (pattern) patterns.push({ ...pattern, rule: { file, line: i + 1, text: raw.trim() } });
    }
    return new IgnoreRules(patterns);
  }

  /** Judges a path (relative, `/` between names) whose parent was judged `parent`. */
  judge(path: string, parent: ParentMatches = []): Verdict {
    const matches: boolean[] = [];
    let ignored = false;
    let decided: Pattern | undefined;
    const end = Scanner.steps + MAX_STEPS;
    for (const [i, pattern] of this.#patterns.entries()) {
      // A pattern that could not change the verdict is not tried, and so not carried down either.
      const match = (parent[i] ?? false) || (pattern.negated === ignored && pattern.matches(path));
      if (Scanner.steps > end) throw tooSlow(path);
      matches.push(match);
      if (!match) continue;
      ignored = !pattern.negated;
      decided = pattern;
    }
    const text = decided && (decided.negated ? `!${decided.text}` : decided.text);
    return { ignored, matches, pattern: text, rule: decided?.rule };
  }

  /** Whether something below an ignored directory may still be wanted, by an exception. */
  mayHoldExceptions(dir: string): boolean {
    if (this.#hasWildExceptions) return true;
    return this.#patterns.some((p) => p.negated && `${withoutLastGlob(p.text)}/`.startsWith(`${dir}/`));
  }
}

function tooSlow(path: string): DavitError {
  return new DavitError(
    "invalid",
    `Cannot read .dockerignore: its patterns take too long for ${JSON.stringify(path.slice(0, 200))}`,
    { hint: "write fewer wildcards" },
  );
}

function withoutLastGlob(text: string): string {
  return text.replace(/\/\*{1,2}$/, "");
}

function parseLine(raw: string, file: string, line: number): Pattern | undefined {
  if (raw.startsWith("#")) return undefined;
  let text = raw.trim();
  if (text === "") return undefined;
  const invert = text.startsWith("!") ? "!" : "";
  text = text.slice(invert.length).trim();
  if (text !== "") text = cleanPath(text);
  if (text.length > 1 && text.startsWith("/")) text = text.slice(1);
  // docker cleans the whole once more, its exclamation mark included: "!/" is a mark alone, "!.." a dot.
  text = cleanPath(invert + text);
  if (text === "!") throw bad(file, line, raw, "it is an exclamation mark alone");
  const negated = text.startsWith("!");
  return compile(negated ? text.slice(1) : text, negated, () =>
    bad(file, line, raw, "syntax error in pattern"),
  );
}

function bad(file: string, line: number, raw: string, why: string): DavitError {
  return new DavitError(
    "invalid",
    `Cannot read ${file}: line ${line}, ${JSON.stringify(raw.trim())}: ${why}`,
    {
      hint: "see the rules at https://docs.docker.com/build/concepts/context/#dockerignore-files",
    },
  );
}

/** Go's `path.Clean`: `.` and empty names dropped, `..` taken back where it can be. */
export function cleanPath(path: string): string {
  const absolute = path.startsWith("/");
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name !== "..") names.push(name);
    else if (names.length > 0 && names.at(-1) !== "..") names.pop();
    else if (!absolute) names.push("..");
  }
  return (absolute ? "/" : "") + names.join("/") || (absolute ? "/" : ".");
}

/** A pattern's kind as patternmatcher finds it: a plain name, a prefix, a suffix, or a regular expression. */
function compile(text: string, negated: boolean, error: () => DavitError): Pattern {
  if (isBadPattern(text)) throw error();
  const { kind, regex } = translate(text);
  if (kind === "exact") return { text, negated, matches: (path) => path === text };
  if (kind === "prefix") return { text, negated, matches: (path) => path.startsWith(text.slice(0, -2)) };
  if (kind === "suffix") return { text, negated, matches: suffixMatcher(text.slice(2)) };
  // Compiled when it is first tried: what is never tried is never wrong.
  let compiled: ((path: string) => boolean) | undefined;
  const literal = longestLiteral(text.replaceAll("**/", "*"));
  const matches = (path: string): boolean => {
    if (compiled && !path.includes(literal)) return false;
    compiled ??= compiledBy(regex, error);
    return path.includes(literal) && compiled(path);
  };
  return { text, negated, matches };
}

function compiledBy(regex: string, error: () => DavitError): (path: string) => boolean {
  try {
    return compileRegex(regex);
  } catch (cause) {
    if (cause instanceof BadRegex) throw error();
    throw cause;
  }
}

/** `**x` matches any path that ends in `x`; `**` followed by `/x` also `x` itself. */
function suffixMatcher(suffix: string): (path: string) => boolean {
  return (path) => path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
}

type Kind = "exact" | "prefix" | "suffix" | "regex";

/**
 * Character by character as the original does it, its oddities included: it knows
 * nothing of classes while it goes, and never escapes `|`, which stays an "or".
 */
function translate(text: string): { kind: Kind; regex: string } {
  let kind: Kind = "exact";
  let regex = "^";
  const chars = [...text];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] ?? "";
    if (char === "*" && chars[i + 1] === "*") {
      const first = i === 0;
      i += chars[i + 2] === "/" ? 2 : 1;
      const last = i + 1 >= chars.length;
      if (last && kind === "exact") kind = "prefix";
      else {
        regex += last ? ".*" : "(.*/)?";
        kind = "regex";
      }
      if (first) kind = "suffix";
      continue;
    }
    if (/[*?[\]\\]/.test(char)) kind = "regex";
    if (char === "*") regex += "[^/]*";
    else if (char === "?") regex += "[^/]";
    else if (char === "\\") regex += `\\${chars[++i] ?? "\\"}`;
    else regex += /[.+()$]/.test(char) ? `\\${char}` : char;
  }
  return { kind, regex: `${regex}$` };
}

/** The longest run of plain characters: a path without it is no match, and most paths are without. */
function longestLiteral(text: string): string {
  if (/[[\]\\|{]/.test(text)) return "";
  return text.split(/[*?^]/).reduce((best, part) => (part.length > best.length ? part : best), "");
}
