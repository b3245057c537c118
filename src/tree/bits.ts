import type { Bytes } from "../bytes.ts";

/** Yes or no for each of many things that both sides count in the same order. */
export class Bits {
  readonly bytes: Bytes;

  constructor(bytes: Bytes) {
    this.bytes = bytes;
  }

  static of(count: number, set: Iterable<number>): Bits {
    const bytes = new Uint8Array(Math.ceil(count / 8));
    for (const at of set) bytes[at >> 3] = (bytes[at >> 3] ?? 0) | (1 << (at & 7));
    return new Bits(bytes);
  }

  /** How many are set. */
  get count(): number {
    let count = 0;
    for (let byte of this.bytes) for (; byte > 0; byte &= byte - 1) count++;
    return count;
  }

  has(at: number): boolean {
    return ((this.bytes[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
  }
}
