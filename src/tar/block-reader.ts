import { type ByteStream, type Bytes, concat } from "../bytes.ts";
import { BLOCK, bad, cut } from "./header.ts";

/** A source that can jump ahead, such as a file, implements this too. */
export interface Skippable extends ByteStream {
  /** Skips bytes that were not handed out yet; false when there are fewer. */
  skip(bytes: number): Promise<boolean>;
}

/** Hands out a stream in the sizes a tar reader wants, without copying bodies. */
export class BlockReader {
  readonly #source: AsyncIterator<Bytes>;
  readonly #jump: ((bytes: number) => Promise<boolean>) | undefined;
  #chunk: Bytes = new Uint8Array(0);
  /** Bytes handed out so far. */
  offset = 0;

  constructor(stream: ByteStream) {
    this.#source = stream[Symbol.asyncIterator]();
    this.#jump = isSkippable(stream) ? (bytes) => stream.skip(bytes) : undefined;
  }

  /** Whatever is at hand, `limit` bytes at most; undefined at the end. */
  async piece(limit: number): Promise<Bytes | undefined> {
    while (this.#chunk.byteLength === 0) {
      const { done, value } = await this.#source.next();
      if (done) return undefined;
      this.#chunk = value;
    }
    const piece = this.#chunk.byteLength <= limit ? this.#chunk : this.#chunk.subarray(0, limit);
    this.#chunk = this.#chunk.subarray(piece.byteLength);
    this.offset += piece.byteLength;
    return piece;
  }

  /** The next block, if it is whole in what was read already: headers come by the million. */
  blockAtHand(): Bytes | undefined {
    if (this.#chunk.byteLength < BLOCK) return undefined;
    const block = this.#chunk.subarray(0, BLOCK);
    this.#chunk = this.#chunk.subarray(BLOCK);
    this.offset += BLOCK;
    return block;
  }

  /** The next block; undefined when the stream ends exactly here. */
  async block(): Promise<Bytes | undefined> {
    const first = await this.piece(BLOCK);
    if (first === undefined || first.byteLength === BLOCK) return first;
    const start = first.slice();
    return concat([start, await this.exactly(BLOCK - start.byteLength)]);
  }

  async exactly(length: number): Promise<Bytes> {
    const pieces: Bytes[] = [];
    for (let left = length; left > 0; ) {
      const piece = await this.piece(left);
      if (piece === undefined)
        throw this.offset < BLOCK ? bad("it ends inside a header") : cut("it ends inside a header");
      pieces.push(piece.slice());
      left -= piece.byteLength;
    }
    return concat(pieces);
  }

  /** Skips bytes without looking at them; false when the stream ends before. */
  async skip(bytes: number): Promise<boolean> {
    for (let left = bytes; left > 0; ) {
      if (this.#jump && this.#chunk.byteLength === 0) {
        this.offset += left;
        return await this.#jump(left);
      }
      const piece = await this.piece(left);
      if (piece === undefined) return false;
      left -= piece.byteLength;
    }
    return true;
  }

  /** Skips what fills the last block of a body of `size` bytes. */
  async skipPadding(size: number): Promise<void> {
    if (!(await this.skip(-size & (BLOCK - 1)))) throw cut("it ends inside an entry's last block");
  }

  /** Lets go of the source, wherever it is. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }
}

function isSkippable(stream: ByteStream): stream is Skippable {
  return "skip" in stream && typeof stream.skip === "function";
}
