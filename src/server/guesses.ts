/** Wrong passwords of one address that are answered at once, in a second. */
const FREE = 5;
/** How long more of them wait for their answer, in milliseconds, and how many may wait at a time. */
const DELAY = 1000;
const MOST_WAITING = 200;
/** Addresses that are counted at a time. */
const MOST_ADDRESSES = 10_000;

/**
 * Slows wrong passwords, and never right ones: behind a proxy everybody has one address.
 * It stops people and simple programs that try words one after the other. Who tries on many
 * connections, and waits for no answer, is stopped only by a password too long to be guessed.
 */
export class Guesses {
  readonly #addresses = new Map<string, { count: number; since: number }>();
  #waiting = 0;

  /** Counts a wrong password. True where it is one too many: then a second has passed, unless many wait already. */
  async wrong(address: string): Promise<boolean> {
    if (!this.#isTooMany(address)) return false;
    if (this.#waiting >= MOST_WAITING) return true;
    this.#waiting++;
    await Bun.sleep(DELAY);
    this.#waiting--;
    return true;
  }

  #isTooMany(address: string): boolean {
    const now = performance.now();
    const known = this.#addresses.get(address);
    if (known && now - known.since < 1000) return ++known.count > FREE;
    this.#addresses.delete(address);
    // A map keeps the order in which its keys came: the oldest goes.
    for (const oldest of this.#addresses.keys()) {
      if (this.#addresses.size < MOST_ADDRESSES) break;
      this.#addresses.delete(oldest);
    }
    this.#addresses.set(address, { count: 1, since: now });
    return false;
  }
}
