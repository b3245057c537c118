/** What moves a cursor, hides, or turns text around: controls, formats (bidi, zero width), separators, halves of characters. */
const HIDDEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const NAMES: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Text that is ready for a terminal: control characters of others' text in it were made visible. */
export class Shown {
  readonly text: string;

  private constructor(text: string) {
    this.text = text;
  }

  /** For `shown` and `lines` only: the text is not looked at. */
  static trusted(text: string): Shown {
    return new Shown(text);
  }
}

/** Makes every control character visible as an escape, but for those in `keep`: `\x1b`, `\n`, `\u{202e}`. */
export function visible(text: string, keep = ""): string {
  return text.replace(HIDDEN, (found) => (keep.includes(found) ? found : escapeOf(found)));
}

function escapeOf(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  const hex = code.toString(16);
  return NAMES[character] ?? (code < 0x100 ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`);
}

/** Our own words around values of any origin: shown`OK, ${name}`. A value is one line. */
export function shown(words: TemplateStringsArray, ...values: (string | number | Shown)[]): Shown {
  return Shown.trusted(String.raw({ raw: words }, ...values.map(textOf)));
}

/** Each with a line end. */
export function lines(texts: readonly (string | Shown)[]): Shown {
  return Shown.trusted(texts.map((text) => `${textOf(text)}\n`).join(""));
}

function textOf(value: string | number | Shown): string {
  return value instanceof Shown ? value.text : visible(String(value));
}

const ESCAPES =
  /\x1b(?:\[[0-9;:?<=>!]{0,64}[ -/]{0,4}[@-~]|[\]PX^_][^\x07\x1b\x9c]{0,4096}(?:\x07|\x1b\\|\x9c)|[ -/]{0,4}[0-~])/g;
const COLOUR = /^\x1b\[[0-9;:]*m$/;

/** The text of a program's output, such as a build's; of its escape sequences only colours are kept, and only where `colours` says so. */
export function logText(text: string, colours: boolean): string {
  let clean = "";
  let at = 0;
  for (const found of text.matchAll(ESCAPES)) {
    clean += plain(text.slice(at, found.index));
    if (colours && COLOUR.test(found[0])) clean += found[0];
    at = found.index + found[0].length;
  }
  return clean + plain(text.slice(at));
}

/** Bidi overrides and isolates can make a line read as another. */
function plain(text: string): string {
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, "");
}

/** JSON that is safe on a terminal: hidden characters are escaped, which does not change the value. */
export function jsonText(value: unknown, indent = 0): string {
  return JSON.stringify(value, undefined, indent)
    .split("\n")
    .map((line) => line.replace(HIDDEN, unitsOf))
    .join("\n");
}

function unitsOf(character: string): string {
  return character
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}
