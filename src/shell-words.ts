import { DavitError } from "./errors.ts";

/** Splits a command as a shell would: quotes and backslashes hold words together; nothing else means anything. */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  let quote = "";
  for (let at = 0; at < text.length; at++) {
    const character = text.charAt(at);
    if (quote === "'" ? character !== "'" : character === "\\") {
      const escaped = quote === "'" ? character : text.charAt(++at);
      const keeps = quote === '"' && !/["\\$`\n]/.test(escaped);
      word = (word ?? "") + (keeps ? `\\${escaped}` : escaped);
    } else if (quote !== "" && character === quote) quote = "";
    else if (quote === "" && (character === "'" || character === '"')) {
      quote = character;
      word ??= "";
    } else if (quote === "" && /\s/.test(character)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + character;
  }
  if (quote !== "")
    throw new DavitError("invalid", `Cannot run ${JSON.stringify(text)}: a quote is not closed`);
  if (word !== undefined) words.push(word);
  return words;
}

/** A word as a shell, and `shellWords`, read it back. */
export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}
