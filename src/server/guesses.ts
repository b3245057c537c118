import { Quota } from "./quota.ts";

/** Wrong passwords of one address that are answered at once, in a second. */
const FREE = 5;
/** How long more of them wait for their answer, in milliseconds, and how many may wait at a time. */
const DELAY = 1000;
const MOST_WAITING = 200;

/**
 * Slows wrong passwords, and never right ones: behind a proxy everybody has one address.
 * It stops people and simple programs that try words one after the other. Who tries on many
 * connections, and waits for no answer, is stopped only by a password too long to be guessed.
 */
export class Guesses {
  readonly #quota = new Quota(FREE, 1000);
  #waiting = 0;

  /** Counts a wrong password. True where it is one too many: then a second has passed, unless many wait already. */
  async wrong(address: string): Promise<boolean> {
    if (!this.#quota.isOver(address)) return false;
    if (this.#waiting >= MOST_WAITING) return true;
    this.#waiting++;
    await Bun.sleep(DELAY);
    this.#waiting--;
    return true;
  }
}
