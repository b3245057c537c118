import { DavitError } from "../errors.ts";

/** `NAME=VALUE` words, of which there must be one at least. */
export function namedValues(words: readonly string[]): Record<string, string> {
  const parsed = words.map((word): [string, string] => {
    const equals = word.indexOf("=");
    if (equals > 0) return [word.slice(0, equals), word.slice(equals + 1)];
    throw new DavitError("usage", `Cannot set ${JSON.stringify(word)}: it is not like NAME=VALUE`);
  });
  if (parsed.length === 0) throw new DavitError("usage", "Cannot set nothing: give NAME=VALUE");
  return Object.fromEntries(parsed);
}
