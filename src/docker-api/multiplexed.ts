import { type ByteStream, type Bytes, concat } from "../bytes.ts";

/** Where a length stands in a frame's head, and how long that is: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach */
const LENGTH = 4;
const HEAD = 8;

/** What a process wrote, by output: an engine mixes both in frames. */
export async function* framed(
  stream: ByteStream,
): AsyncGenerator<{ output: "stdout" | "stderr"; bytes: Bytes }> {
  let held: Bytes = new Uint8Array(0);
  for await (const chunk of stream) {
    held = held.byteLength === 0 ? chunk.slice() : concat([held, chunk]);
    let at = 0;
    while (at + HEAD <= held.byteLength) {
      const length = new DataView(held.buffer, held.byteOffset + at).getUint32(LENGTH);
      if (at + HEAD + length > held.byteLength) break;
      yield {
        output: held[at] === 2 ? "stderr" : "stdout",
        bytes: held.subarray(at + HEAD, at + HEAD + length),
      };
      at += HEAD + length;
    }
    held = held.slice(at);
  }
}

/** The content of both, as it comes. */
export async function* frames(stream: ByteStream): AsyncGenerator<Bytes> {
  for await (const { bytes } of framed(stream)) yield bytes;
}
