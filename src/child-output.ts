import { type ByteStream, concat, decode } from "./bytes.ts";

/** How much of a program's output is kept, in bytes. */
const LIMIT = 1024 * 1024;

/** Reads a program's output to its end, so that the program never waits for us. Returns the last `limit` bytes of it as text. */
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
