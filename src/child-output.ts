import { type ByteStream, concat, decode } from "./bytes.ts";

/** A program that says more than this has said nothing we asked for, in bytes. */
const LIMIT = 1024 * 1024;

/** What another program writes, read to its end, so that it never waits for us; of too much only the end is kept. */
export async function outputOf(stream: ByteStream, limit = LIMIT): Promise<string> {
  let kept: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    kept.push(chunk.slice());
    size += chunk.byteLength;
    if (size <= 2 * limit) continue;
    kept = [concat(kept).slice(-limit)];
    size = limit;
  }
  return decode(concat(kept).subarray(-limit));
}
