import { anyOf, isWord, Scanner } from "../scanner.ts";

/** One challenge of a WWW-Authenticate header: https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1 */
export interface Challenge {
  /** In lower case. */
  scheme: string;
  /** Names in lower case. */
  params: Record<string, string>;
}

const MARKS = anyOf("!#$%&'*+.^`|~-");
const isToken = (code: number): boolean => isWord(code) || MARKS(code);
const isSpace = anyOf(" \t\r\n");
const isGap = anyOf(" \t\r\n,");
/** A longer header is not read on. */
const MAX_LENGTH = 16 * 1024;

/** Reads a header of any number of challenges; what cannot be understood ends the reading, and never throws. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: Challenge[] = [];
  const scanner = new Scanner(header.slice(0, MAX_LENGTH));
  scanner.take(isGap);
  for (let name = scanner.take(isToken); name !== ""; ) {
    if (!scanner.done && !isGap(scanner.peek())) break;
    const { params, next } = readParams(scanner);
    challenges.push({ scheme: name.toLowerCase(), params });
    name = next;
  }
  return challenges;
}

/** The parameters of one challenge, and the word after them: the scheme of the next, or "". */
function readParams(scanner: Scanner): { params: Record<string, string>; next: string } {
  const params: Record<string, string> = Object.create(null);
  for (;;) {
    scanner.take(isGap);
    const name = scanner.take(isToken);
    const end = scanner.at;
    scanner.take(isSpace);
    if (name === "" || !scanner.eat("=")) {
      scanner.at = end;
      return { params, next: name };
    }
    scanner.take(isSpace);
    const value = scanner.eat('"') ? readQuoted(scanner) : scanner.take(isToken) || undefined;
    if (value === undefined) return { params, next: "" };
    params[name.toLowerCase()] = value;
  }
}

/** Up to the closing quote, escapes taken back; undefined where none closes. */
function readQuoted(scanner: Scanner): string | undefined {
  const parts: string[] = [];
  for (;;) {
    parts.push(scanner.take((code) => code !== QUOTE && code !== BACKSLASH));
    if (scanner.done) return undefined;
    if (scanner.next() === QUOTE) return parts.join("");
    parts.push(scanner.text.charAt(scanner.at++));
  }
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
