import { isBlank, Scanner, trimEnd } from "../scanner.ts";

/** One instruction of a Dockerfile, with its continued lines. */
export interface Instruction {
  /** In upper case. */
  keyword: string;
  /** What follows it, split at white space outside of quotes; quotes and escapes are kept. */
  words: string[];
  /** Where it begins; the first line is 1. */
  line: number;
}

/** Instructions that may read files written below them. */
const WITH_HEREDOCS = ["ADD", "COPY", "RUN"];

/**
 * A Dockerfile's instructions, split as BuildKit splits them: comments, continued lines, here-documents
 * and the `escape` directive. https://docs.docker.com/reference/dockerfile/#format
 */
export function* instructionsOf(text: string): Generator<Instruction> {
  const lines = new Lines(text);
  const escapes = escapeOf(text);
  for (let first = lines.next(); first !== undefined; first = lines.next()) {
    const line = lines.number;
    const [keyword = "", ...words] = wordsOf(joined(first, lines, escapes), escapes);
    const instruction = { keyword: keyword.toUpperCase(), words, line };
    yield instruction;
    for (const heredoc of heredocsOf(instruction)) lines.skipPast(heredoc);
  }
}

class Lines {
  readonly #scanner: Scanner;
  /** Of the line that was given last. */
  number = 0;

  constructor(text: string) {
    this.#scanner = new Scanner(text.startsWith("\ufeff") ? text.slice(1) : text);
  }

  /** The next line that is neither blank nor a comment. */
  next(): string | undefined {
    while (!this.#scanner.done) {
      const line = this.#any();
      const content = line.trimStart();
      if (content !== "" && !content.startsWith("#")) return line;
    }
    return undefined;
  }

  /** Passes a here-document with the line that ends it. */
  skipPast({ name, tabs }: Heredoc): void {
    while (!this.#scanner.done) {
      const line = this.#any();
      if ((tabs ? line.replace(/^\t+/, "") : line) === name) return;
    }
  }

  #any(): string {
    const line = this.#scanner.takeUntil("\n");
    this.#scanner.at++;
    this.number++;
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}

/** Directives are comments at the very top: `# name=value`. */
function escapeOf(text: string): string {
  const scanner = new Scanner(text);
  for (;;) {
    const line = scanner.takeUntil("\n").trim();
    scanner.at++;
    const [name = "", value = ""] = line.slice(1).split("=", 2);
    if (!line.startsWith("#") || !/^\s*[A-Za-z]\w*\s*$/.test(name) || !line.includes("=")) return "\\";
    if (name.trim().toLowerCase() === "escape") return value.trim() === "`" ? "`" : "\\";
  }
}

/** A line joined with the lines that continue it. */
function joined(first: string, lines: Lines, escapes: string): string {
  const parts: string[] = [];
  for (let line: string | undefined = first; line !== undefined; line = lines.next()) {
    const content = trimEnd(line, isBlank);
    const goesOn = content.endsWith(escapes) && content.at(-2) !== escapes;
    if (!goesOn) return [...parts, line].join("");
    parts.push(content.slice(0, -1));
  }
  return parts.join("");
}

function isSpace(code: number): boolean {
  return code <= 0x20 || code === 0xa0;
}

function wordsOf(text: string, escapes: string): string[] {
  const scanner = new Scanner(text);
  const words: string[] = [];
  for (;;) {
    scanner.take(isSpace);
    if (scanner.done) return words;
    words.push(readWord(scanner, escapes));
  }
}

function readWord(scanner: Scanner, escapes: string): string {
  const start = scanner.at;
  let quote = 0;
  while (!scanner.done && (quote !== 0 || !isSpace(scanner.peek()))) {
    const code = scanner.next();
    if (code === escapes.charCodeAt(0) && quote !== SINGLE) scanner.at++;
    else if (code === quote) quote = 0;
    else if (quote === 0 && (code === SINGLE || code === DOUBLE)) quote = code;
  }
  return scanner.text.slice(start, scanner.at);
}

const SINGLE = 0x27;
const DOUBLE = 0x22;

interface Heredoc {
  name: string;
  /** Whether tabs before the line that ends it do not count. */
  tabs: boolean;
}

function heredocsOf({ keyword, words }: Instruction): Heredoc[] {
  const inner = keyword === "ONBUILD" ? (words[0] ?? "").toUpperCase() : keyword;
  if (!WITH_HEREDOCS.includes(inner)) return [];
  return words.flatMap((word) => {
    const [, dash, quoted = ""] = /^\d*<<(-?)([^<]*)$/.exec(word) ?? [];
    const name = quoted.replaceAll(/["'\\]/g, "");
    return name === "" ? [] : [{ name, tabs: dash === "-" }];
  });
}
