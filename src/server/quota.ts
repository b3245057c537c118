/** How many keys are counted at a time; beyond that the oldest is forgotten. */
const MOST_KEYS = 10_000;

/** Counts events by key, and tells when one key has more than so many in a span of time. */
export class Quota {
  readonly #most: number;
  readonly #span: number;
  readonly #keys = new Map<string, { count: number; since: number }>();

  /** `span` is in milliseconds. */
  constructor(most: number, span: number) {
    this.#most = most;
    this.#span = span;
  }

  /** Counts one more; true where it is one too many. */
  isOver(key: string): boolean {
    const now = performance.now();
    const known = this.#keys.get(key);
    if (known && now - known.since < this.#span) return ++known.count > this.#most;
    this.#keys.delete(key);
    // A map keeps the order in which its keys came: the oldest goes.
    for (const oldest of this.#keys.keys()) {
      if (this.#keys.size < MOST_KEYS) break;
      this.#keys.delete(oldest);
    }
    this.#keys.set(key, { count: 1, since: now });
    return false;
  }
}
