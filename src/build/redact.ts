/** Shorter values are not secrets worth the noise: redacting `80` would eat digests. */
const SHORTEST = 8;
const SECRET_NAME = /(pass(word|wd|phrase)?|secret|token|api_?key|private_?key|credential|auth)/i;
const MASK = "[REDACTED]";

/** Removes known secrets from text, by value. Lines go through whole, so no boundary can cut a value in two. */
export class Redactor {
  readonly #values = new Set<string>();

  /** A value that must not be printed; each line of it counts, and as base64, JSON and addresses write it. */
  add(value: string): void {
    for (const line of [value, ...value.split("\n")]) {
      if (!isSecret(line)) continue;
      this.#values.add(line);
      this.#values.add(Buffer.from(line).toString("base64"));
      this.#values.add(JSON.stringify(line).slice(1, -1));
      this.#values.add(encodeURIComponent(line.toWellFormed()));
    }
  }

  /** Env values count when their name looks like a secret's. */
  addEnv(env: Record<string, string>): void {
    for (const [name, value] of Object.entries(env)) if (looksSecret(name)) this.add(value);
  }

  redact(text: string): string {
    let clean = text
      .replace(/(:\/\/[^\s:/@]*:)[^\s@/]+@/g, `$1${MASK}@`)
      .replace(/(Bearer )[\w.~+/=-]{10,}/gi, `$1${MASK}`);
    for (const value of [...this.#values].sort((a, b) => b.length - a.length))
      clean = clean.replaceAll(value, MASK);
    return clean;
  }
}

export function looksSecret(name: string): boolean {
  return SECRET_NAME.test(name);
}

/** Plain words and numbers are left alone. */
export function isSecret(value: string): boolean {
  return value.trim().length >= SHORTEST && !/^\d+$/.test(value) && !/^[a-z]+$/.test(value);
}
