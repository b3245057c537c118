import { END, Scanner } from "./scanner.ts";

/** JSON nested deeper than this is refused: what reads it, and what reads the result, calls itself. */
export const MAX_DEPTH = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Whether JSON is nested deeper than `MAX_DEPTH`; it need not be JSON at all. */
export function isTooDeep(text: string): boolean {
  const scanner = new Scanner(text);
  let depth = 0;
  for (let code = scanner.next(); code !== END; code = scanner.next()) {
    if (code === QUOTE) passString(scanner);
    else if (code === OPEN_OBJECT || code === OPEN_LIST) depth++;
    else if (code === CLOSE_OBJECT || code === CLOSE_LIST) depth--;
    if (depth > MAX_DEPTH) return true;
  }
  return false;
}

/** What is wrong with JSON that a parser would let pass: a mark, a key twice in one object, too deep. */
export function findMistake(text: string): string | undefined {
  if (text.startsWith("\ufeff")) return "it begins with a byte order mark";
  const scanner = new Scanner(text);
  const open: (Set<string> | undefined)[] = [];
  for (let code = scanner.next(); code !== END; code = scanner.next()) {
    if (code === OPEN_OBJECT) open.push(new Set());
    else if (code === OPEN_LIST) open.push(undefined);
    else if (code === CLOSE_OBJECT || code === CLOSE_LIST) open.pop();
    else if (code === QUOTE) {
      const key = readKey(scanner);
      if (key === undefined) continue;
      const keys = open.at(-1);
      if (keys?.has(key)) return `key ${JSON.stringify(key.slice(0, 100))} is in it twice`;
      keys?.add(key);
    }
    if (open.length > MAX_DEPTH) return `it is nested deeper than ${MAX_DEPTH}`;
  }
  return undefined;
}

/** The string that has begun, where a colon follows it. */
function readKey(scanner: Scanner): string | undefined {
  const start = scanner.at - 1;
  const escapes = passString(scanner);
  const end = scanner.at;
  scanner.take(isSpace);
  if (scanner.peek() !== COLON) return undefined;
  return escapes ? unescaped(scanner.text.slice(start, end)) : scanner.text.slice(start + 1, end - 1);
}

/** Passes the rest of a string; true: there are escapes in it. */
function passString(scanner: Scanner): boolean {
  let escapes = false;
  for (let code = scanner.next(); code !== QUOTE && code !== END; code = scanner.next()) {
    if (code !== BACKSLASH) continue;
    escapes = true;
    scanner.at++;
  }
  return escapes;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x09 || code === 0x0d;
}

function unescaped(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return token; // The parser will say what is wrong with it.
  }
}
