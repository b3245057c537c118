import { Quota } from "./quota.ts";

/** Wrong passwords of one address that are answered at once, in a second. */
const FREE = 5;
/** How long more of them wait for their answer, in milliseconds, and how many may wait at a time. */
const DELAY = 1000;
const MOST_WAITING = 200;

/**
 * Slows wrong passwords, and never right ones: behind a proxy all clients have one address.
 * It slows people and simple programs that try one word after the other. Only a password that is too
 * long to be guessed stops those who try on many connections without waiting for answers.
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
