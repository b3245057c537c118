import { anyOf, trimEnd } from "../scanner.ts";
/** The shortest value that is masked, in characters: shorter ones would mask half of every line. */
export const SHORTEST = 3;
/** The shortest part of an encoded value that is masked: a shorter one may stand there by chance. */
const SHORTEST_PART = 8;
/** Values longer than this are masked in fewer forms: each form costs memory. */
const LONG = 16 * 1024;
/** Columns at which base64 and openssl break their lines. */
const COLUMNS = [76, 64];

/**
 * The forms in which a secret may stand in a line of a log: as it is, line by line, and as base64,
 * JSON, shells and addresses write it. None is shorter than `SHORTEST`.
 */
export function formsOf(secret: string): Set<string> {
  const forms = new Set<string>();
  const whole = secret.trim();
  for (const line of [...whole.split(/[\r\n]+/), whole].map((text) => text.trim())) {
    if (line.length < SHORTEST) continue;
    for (const form of written(line)) forms.add(form);
  }
  if (whole.length < SHORTEST) return forms;
  // With a line end, too, as `echo` makes one.
  for (const text of [secret, whole, `${whole}\n`]) for (const form of encoded(text)) forms.add(form);
  if (whole.length <= LONG) for (const form of embedded(whole)) forms.add(form);
  return forms;
}

function* written(text: string): Generator<string> {
  if (!text.includes("\n")) yield text;
  const json = JSON.stringify(text).slice(1, -1);
  yield json;
  // As Go's encoder writes it.
  yield json.replace(/[<>&]/g, (letter) => `\\u00${letter.charCodeAt(0).toString(16)}`);
  for (const percent of [
    encodeURIComponent(text.toWellFormed()),
    new URLSearchParams({ "": text }).toString().slice(1),
  ]) {
    yield percent;
    yield percent.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase());
  }
  if (text.includes("'")) {
    yield text.replaceAll("'", "'\\''");
    yield text.replaceAll("'", `'"'"'`);
  }
}

function* encoded(text: string): Generator<string> {
  const base64 = Buffer.from(text).toString("base64");
  yield base64;
  yield trimEnd(base64, anyOf("="));
  yield Buffer.from(text).toString("base64url");
  for (const width of COLUMNS)
    for (let at = 0; at < base64.length && base64.length > width; at += width) {
      const line = base64.slice(at, at + width);
      if (line.length >= SHORTEST_PART) yield line;
    }
}

/** Parts of base64 that are the same in any longer text that holds this one, such as `user:password`. */
function* embedded(text: string): Generator<string> {
  const bytes = Buffer.from(text);
  for (const before of [0, 1, 2]) {
    const whole = Buffer.concat([Buffer.alloc(before), bytes]);
    const base64 = whole.subarray(0, whole.length - (whole.length % 3)).toString("base64");
    const part = base64.slice(before === 0 ? 0 : 4);
    if (part.length < SHORTEST_PART) continue;
    yield part;
    yield part.replaceAll("+", "-").replaceAll("/", "_");
  }
}
