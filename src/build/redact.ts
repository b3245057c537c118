import { WordFinder } from "./find-words.ts";
import { formsOf, SHORTEST } from "./secret-forms.ts";

/** A value that only its variable's name calls secret may be `true` or a port: so short ones stay. */
const SHORTEST_GUESSED = 6;
const SECRET_NAME = /(pass(word|wd|phrase)?|secret|token|api_?key|private_?key|credential|auth)/i;
const MASK = "[REDACTED]";

/** Removes known secrets from text, by value. Lines go through whole, so no boundary can cut a value in two. */
export class Redactor {
  readonly #values = new WordFinder();

  /** A value that must never be printed. False: it is too short to be looked for. */
  add(value: string): boolean {
    for (const form of formsOf(value)) this.#values.add(form);
    return value.trim().length >= SHORTEST;
  }

  /** A variable's value counts when its name looks like a secret's. */
  addGuessed(name: string, value: string): void {
    if (looksSecret(name) && value.trim().length >= SHORTEST_GUESSED) this.add(value);
  }

  /** Masks what is known in a text, of which the first `shown` characters are returned: what a cut would leave of a secret is masked too. */
  redact(text: string, shown = text.length): string {
    let clean = "";
    let at = 0;
    for (const [from, to] of this.#values.find(text)) {
      if (from >= shown) break;
      clean += text.slice(at, from) + MASK;
      at = to;
    }
    return withoutLogins(clean + text.slice(at, Math.max(at, shown)));
  }
}

/** Masks passwords in addresses, and bearer tokens, whether or not they are known. */
function withoutLogins(text: string): string {
  return text
    .replace(/(:\/\/[^\s:/@]*:)[^\s/]+@/g, `$1${MASK}@`)
    .replace(/(https?:\/\/)[^\s:/@]{8,}@/g, `$1${MASK}@`)
    .replace(/(Bearer )[\w.~+/=-]{10,}/gi, `$1${MASK}`);
}

export function looksSecret(name: string): boolean {
  return SECRET_NAME.test(name);
}
