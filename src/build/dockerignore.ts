import { DavitError } from "../errors.ts";

/*
 * Which files `.dockerignore` keeps out, exactly as BuildKit decides it. The
 * algorithm is that of moby/patternmatcher and tonistiigi/fsutil (Apache-2.0 and
 * MIT), from their source: patterns are tried on every path with what they said
 * about its parent carried along, and the last that matches wins.
 */

/** What each pattern said about a directory; handed to the entries inside it. */
export type ParentMatches = readonly boolean[];

interface Pattern {
  text: string;
  negated: boolean;
  matches(path: string): boolean;
}

export interface Verdict {
  ignored: boolean;
  matches: ParentMatches;
  /** The pattern that decided, as written in the file; undefined when none matched. */
  pattern: string | undefined;
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
    const patterns: Pattern[] = [];
    for (const [i, raw] of text
      .replace(/^\ufeff/, "")
      .split("\n")
      .entries()) {
      const pattern = parseLine(raw, file, i + 1);
      if (pattern) patterns.push(pattern);
    }
    return new IgnoreRules(patterns);
  }

  /** Judges a path (relative, `/` between names) whose parent was judged `parent`. */
  judge(path: string, parent: ParentMatches = []): Verdict {
    const matches: boolean[] = [];
    let ignored = false;
    let decided: string | undefined;
    for (const [i, pattern] of this.#patterns.entries()) {
      const match = (parent[i] ?? false) || pattern.matches(path);
      matches.push(match);
      if (!match) continue;
      ignored = !pattern.negated;
      decided = pattern.negated ? `!${pattern.text}` : pattern.text;
    }
    return { ignored, matches, pattern: decided };
  }

  /** Whether something below an ignored directory may still be wanted, by an exception. */
  mayHoldExceptions(dir: string): boolean {
    if (this.#hasWildExceptions) return true;
    return this.#patterns.some((p) => p.negated && `${withoutLastGlob(p.text)}/`.startsWith(`${dir}/`));
  }
}

function withoutLastGlob(text: string): string {
  return text.replace(/\/\*{1,2}$/, "");
}

function parseLine(raw: string, file: string, line: number): Pattern | undefined {
  if (raw.startsWith("#")) return undefined;
  let text = raw.trim();
  const negated = text.startsWith("!");
  if (negated) text = text.slice(1).trim();
  if (text === "") {
    if (negated) throw bad(file, line, raw, "it is an exclamation mark alone");
    return undefined;
  }
  text = cleanPath(text);
  if (text.length > 1 && text.startsWith("/")) text = text.slice(1);
  return compile(text, negated, () => bad(file, line, raw, "syntax error in pattern"));
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

function compile(text: string, negated: boolean, error: () => DavitError): Pattern {
  checkSyntax(text, error);
  const wild = /[*?[\\]/.test(text);
  if (!wild) return { text, negated, matches: (path) => path === text };
  const prefix = text.slice(0, -2);
  if (text.endsWith("**") && !/[*?[\\]/.test(prefix))
    return { text, negated, matches: (path) => path.startsWith(prefix) };
  const suffix = text.slice(2);
  if (text.startsWith("**") && !/[*?[\\]/.test(suffix))
    return { text, negated, matches: suffixMatcher(suffix) };
  const regex = toRegex(text, error);
  return { text, negated, matches: (path) => regex.test(path) };
}

/** `**x` matches any path that ends in `x`; `**` followed by `/x` also `x` itself. */
function suffixMatcher(suffix: string): (path: string) => boolean {
  return (path) => path.endsWith(suffix) || (suffix.startsWith("/") && path === suffix.slice(1));
}

/** What Go's `filepath.Match` finds wrong: a last backslash, a class that is open, empty or has a bad range. */
function checkSyntax(text: string, error: () => DavitError): void {
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && ++i >= text.length) throw error();
    if (text[i] === "[" && text[i - 1] !== "\\") i = classEnd(text, i, error);
  }
}

function classEnd(text: string, start: number, error: () => DavitError): number {
  let i = start + 1;
  if (text[i] === "^") i++;
  for (let items = 0; ; items++) {
    if (i >= text.length) throw error();
    if (text[i] === "]" && items > 0) return i;
    i = classItem(text, i, error);
    if (text[i] === "-") i = classItem(text, i + 1, error);
  }
}

function classItem(text: string, at: number, error: () => DavitError): number {
  const char = text[at];
  if (char === undefined || char === "-" || char === "]") throw error();
  if (char !== "\\") return at + 1;
  if (at + 1 >= text.length) throw error();
  return at + 2;
}

function toRegex(text: string, error: () => DavitError): RegExp {
  let regex = "^";
  for (let i = 0; i < text.length; i++) {
    const char = text[i] ?? "";
    if (char === "*") {
      if (text[i + 1] !== "*") {
        regex += "[^/]*";
        continue;
      }
      i++;
      if (text[i + 1] === "/") i++;
      regex += i + 1 >= text.length ? ".*" : "(.*/)?";
    } else if (char === "?") regex += "[^/]";
    else if (char === "[") {
      const end = classEnd(text, i, error);
      regex += text
        .slice(i, end + 1)
        .replace(/^\[\^\]/, "[^\\]")
        .replace(/(?<!^)\[/g, "\\[");
      i = end;
    } else if (char === "\\") regex += escaped(text[++i] ?? "");
    else regex += /[.+()|{}$\]]/.test(char) ? `\\${char}` : char;
  }
  try {
    return new RegExp(`${regex}$`, "su");
  } catch {
    throw error();
  }
}

/** A backslash takes a punctuation mark literally; before a letter Go's regular expressions read something else. */
function escaped(char: string): string {
  if (/[a-zA-Z0-9]/.test(char)) return "(?!)";
  return /[\\^$.*+?()[\]{}|/-]/.test(char) ? `\\${char}` : char;
}
