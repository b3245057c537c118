import type { Bytes } from "./bytes.ts";

/** How much garbage may pile up, in bytes. */
const EVERY = 32 * 1024 * 1024;

/**
 * Chunks that come from a network are garbage as soon as they are used, hundreds of
 * megabytes a second, and faster than the collector comes by itself. What nobody
 * looks at any more is given back at once, which costs no collection and keeps the
 * memory hot; of the rest the collector is told in time.
 */
export class Garbage {
  #bytes = 0;

  /** Gives back a chunk that a stream made: its reader has asked for the next one. */
  free(chunk: Bytes): void {
    if (chunk.byteLength === chunk.buffer.byteLength) chunk.buffer.transfer(0);
    else this.made(chunk.byteLength);
  }

  made(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < EVERY) return;
    this.#bytes = 0;
    Bun.gc(true);
  }
}
