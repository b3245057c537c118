/** The longest line of a log, in characters. */
export const MAX_LOG_LINE = 256 * 1024;

/**
 * Lines of a text that comes in pieces, without their line ends. Each character is looked at once,
 * and a line longer than the limit is broken: text without line ends may not fill the memory.
 */
export class LineSplitter {
  readonly #limit: number;
  #rest: string[] = [];
  #length = 0;

  constructor(limit = MAX_LOG_LINE) {
    this.#limit = limit;
  }

  /** The lines that are whole now. */
  push(text: string): string[] {
    const [first = "", ...others] = text.split("\n");
    if (others.length === 0) return this.#keep(first);
    const lines = [...this.#keep(first), this.#flush()];
    const last = others.pop() ?? "";
    for (const line of others) lines.push(line);
    return [...lines, ...this.#keep(last)];
  }

  /** What is left, where anything is. */
  end(): string[] {
    return this.#length > 0 ? [this.#flush()] : [];
  }

  #keep(text: string): string[] {
    this.#rest.push(text);
    this.#length += text.length;
    return this.#length > this.#limit ? [this.#flush()] : [];
  }

  #flush(): string {
    const line = this.#rest.join("");
    this.#rest = [];
    this.#length = 0;
    return line;
  }
}
