/** How long work may hold the event loop before others get it, in milliseconds. */
const SLICE = 10;

/** Cuts long work on one thread into slices: in between others have the event loop. */
export class Slices {
  #began = performance.now();

  /** Whether this slice has lasted long enough. */
  get over(): boolean {
    return performance.now() - this.#began > SLICE;
  }

  /** Ends the slice if it is over, and waits for the next one. */
  async next(): Promise<void> {
    if (!this.over) return;
    await new Promise<void>((resolve) => setImmediate(resolve));
    this.#began = performance.now();
  }
}
