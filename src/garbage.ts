/** How much garbage may pile up, in bytes. */
const EVERY = 32 * 1024 * 1024;

/**
 * Chunks that come from a network are garbage as soon as they are used, hundreds of
 * megabytes a second, and faster than the collector comes by itself: told of them,
 * this calls it in time.
 */
export class Garbage {
  #bytes = 0;

  made(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < EVERY) return;
    this.#bytes = 0;
    Bun.gc(true);
  }
}
