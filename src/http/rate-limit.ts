import type { ByteStream, Bytes } from "../bytes.ts";

/** Pieces a stream is cut into, so that a slow limit still moves evenly. */
const PIECE = 64 * 1024;

/** Bytes a second, shared by every stream that goes through it. */
export class RateLimit {
  readonly #rate: number;
  #next = 0;

  constructor(bytesPerSecond: number) {
    this.#rate = bytesPerSecond;
  }

  async *limit(stream: ByteStream): AsyncGenerator<Bytes> {
    for await (const chunk of stream)
      for (let at = 0; at < chunk.byteLength; at += PIECE) {
        const piece = chunk.subarray(at, at + PIECE);
        await this.pass(piece.byteLength);
        yield piece;
      }
  }

  /** Waits until so many bytes may go: each piece books its time on one line, and a pause is not made up for. */
  async pass(bytes: number): Promise<void> {
    const now = performance.now();
    const start = Math.max(now, this.#next);
    this.#next = start + (bytes / this.#rate) * 1000;
    if (start > now) await Bun.sleep(start - now);
  }
}
