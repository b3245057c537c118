import { type Bytes, concat } from "./bytes.ts";

/** Bytes that have come and are not taken yet. Each is copied once, however small the pieces are in which they come. */
export class ByteQueue {
  #pieces: Uint8Array[] = [];
  size = 0;

  push(piece: Uint8Array): void {
    this.#pieces.push(piece.slice());
    this.size += piece.byteLength;
  }

  /** The first bytes, `count` at most; they stay. */
  head(count: number): Bytes {
    const found: Uint8Array[] = [];
    let left = count;
    for (const piece of this.#pieces) {
      if (left <= 0) break;
      found.push(piece.subarray(0, left));
      left -= piece.byteLength;
    }
    return concat(found);
  }

  /** Takes the first bytes out; there must be so many. */
  take(count: number): Bytes {
    const taken = this.head(count);
    let left = count;
    let gone = 0;
    while (left > 0) {
      const piece = this.#pieces[gone];
      if (!piece) break;
      if (piece.byteLength > left) this.#pieces[gone] = piece.subarray(left);
      else gone++;
      left -= piece.byteLength;
    }
    this.#pieces.splice(0, gone);
    this.size -= taken.byteLength;
    return taken;
  }
}
