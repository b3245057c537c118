/** How long work may hold the event loop before others get it, in milliseconds. */
const TURN = 10;

/** Long work on one thread, cut into turns: in between others are served. */
export class Turns {
  #began = performance.now();

  /** Whether it is time to let others have the event loop. */
  get over(): boolean {
    return performance.now() - this.#began > TURN;
  }

  /** Ends the turn if it is over, and waits for the next one. */
  async next(): Promise<void> {
    if (!this.over) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#began = performance.now();
  }
}
