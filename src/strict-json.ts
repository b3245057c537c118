import { DavitError, type ErrorCode } from "./errors.ts";
import { check, parseJson, type Static, type TSchema } from "./schema.ts";

/** JSON nested deeper than this is refused. */
const MAX_DEPTH = 64;
const TOKENS = /"(?:[^"\\]|\\.)*"|[{}[\]]/gs;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * JSON that others must read just as we do: manifests and what describes builds.
 * UTF-8 without a mark, no key twice in one object, not nested without end.
 */
export function checkStrictJson<T extends TSchema>(
  schema: T,
  bytes: Uint8Array | string,
  what: string,
  code: ErrorCode = "invalid",
): Static<T> {
  const text = typeof bytes === "string" ? bytes : decodeStrict(bytes, what, code);
  const mistake = findMistake(text);
  if (mistake) throw new DavitError(code, `Cannot read ${what}: ${mistake}`);
  return check(schema, parseJson(text, what, code), what, code);
}

/** UTF-8 as it is, its mark kept to be seen. */
export function decodeStrict(bytes: Uint8Array, what: string, code: ErrorCode): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new DavitError(code, `Cannot read ${what}: it is not UTF-8`, { cause });
  }
}

/** What is wrong with JSON that a parser would let pass. */
export function findMistake(text: string): string | undefined {
  if (text.startsWith("\ufeff")) return "it begins with a byte order mark";
  const open: (Set<string> | undefined)[] = [];
  for (const { 0: token, index } of text.matchAll(TOKENS)) {
    if (token === "{" || token === "[") {
      open.push(token === "{" ? new Set() : undefined);
      if (open.length > MAX_DEPTH) return `it is nested deeper than ${MAX_DEPTH}`;
    } else if (token === "}" || token === "]") open.pop();
    else {
      const keys = open.at(-1);
      if (!keys || !isKey(text, index + token.length)) continue;
      const key = token.includes("\\") ? unescaped(token) : token.slice(1, -1);
      if (keys.has(key)) return `key ${JSON.stringify(key.slice(0, 100))} is in it twice`;
      keys.add(key);
    }
  }
  return undefined;
}

function isKey(text: string, after: number): boolean {
  let at = after;
  while (text[at] === " " || text[at] === "\n" || text[at] === "\t" || text[at] === "\r") at++;
  return text[at] === ":";
}

function unescaped(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return token; // The parser will say what is wrong with it.
  }
}
