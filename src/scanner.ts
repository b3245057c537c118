/** What `peek` gives at the end of the text. */
export const END = -1;

/** Whether a character, by its UTF-16 code, belongs to a set. */
export type CharacterSet = (code: number) => boolean;

/**
 * Reads a text once, from left to right. Parsers of untrusted text use it: a parser that never goes
 * back takes time in proportion to its text.
 */
export class Scanner {
  /** Characters looked at by all scanners since the process began: tests of linear time count them. */
  static steps = 0;

  readonly text: string;
  /** Where the next character stands. */
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  get done(): boolean {
    return this.at >= this.text.length;
  }

  /** The code of the next character, or `END`. */
  peek(): number {
    Scanner.steps++;
    return this.at < this.text.length ? this.text.charCodeAt(this.at) : END;
  }

  /** Passes one character and gives its code, or `END`. */
  next(): number {
    const code = this.peek();
    this.at++;
    return code;
  }

  /** Passes the character if it comes next. */
  eat(character: string): boolean {
    if (this.peek() !== character.charCodeAt(0)) return false;
    this.at++;
    return true;
  }

  /** Passes and gives the characters up to the first that is not in the set. */
  take(set: CharacterSet): string {
    const start = this.at;
    while (!this.done && set(this.peek())) this.at++;
    return this.text.slice(start, this.at);
  }

  /** Passes and gives the characters up to the mark, or to the end. The mark itself is not passed. */
  takeUntil(mark: string): string {
    const start = this.at;
    const end = this.text.indexOf(mark, start);
    this.at = end < 0 ? this.text.length : end;
    Scanner.steps += this.at - start + 1;
    return this.text.slice(start, this.at);
  }
}

/** The set of the characters that stand in a text. */
export function anyOf(characters: string): CharacterSet {
  const codes = new Set(Array.from(characters, (character) => character.charCodeAt(0)));
  return (code) => codes.has(code);
}

/** Spaces and tabs. */
export const isBlank: CharacterSet = (code) => code === 0x20 || code === 0x09;

export const isDigit: CharacterSet = (code) => code >= 0x30 && code <= 0x39;

/** Letters of ASCII, digits and `_`. */
export const isWord: CharacterSet = (code) =>
  isDigit(code) || code === 0x5f || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);

/** The text without what of the set stands at its end. */
export function trimEnd(text: string, set: CharacterSet): string {
  let end = text.length;
  while (end > 0 && set(text.charCodeAt(end - 1))) end--;
  Scanner.steps += text.length - end + 1;
  return text.slice(0, end);
}

/** The text without what of the set stands at its beginning and at its end. */
export function trim(text: string, set: CharacterSet): string {
  const scanner = new Scanner(text);
  scanner.take(set);
  return trimEnd(text.slice(scanner.at), set);
}
