/** The longest line of a log, in characters. */
export const MAX_LOG_LINE = 256 * 1024;

/**
 * Lines of a text that comes in pieces, without their line ends. Each character is looked at once,
 * and of a line longer than the limit only the beginning is kept: text without line ends may not fill
 * the memory.
 */
export class LineSplitter {
  readonly #limit: number;
  #kept: string[] = [];
  #length = 0;

  constructor(limit = MAX_LOG_LINE) {
    this.#limit = limit;
  }

  /** Returns the lines that are whole now. */
  push(text: string): string[] {
    const [first = "", ...others] = text.split("\n");
    this.#keep(first);
    return others.map((next) => {
      const line = this.#flush();
      this.#keep(next);
      return line;
    });
  }

  /** Returns what is left, where anything is. */
  end(): string[] {
    return this.#length > 0 ? [this.#flush()] : [];
  }

  #keep(text: string): void {
    const kept = text.slice(0, this.#limit - this.#length);
    if (kept === "") return;
    this.#kept.push(kept);
    this.#length += kept.length;
  }

  #flush(): string {
    const line = this.#kept.join("");
    this.#kept = [];
    this.#length = 0;
    return line;
  }
}
