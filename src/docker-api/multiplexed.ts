import { type ByteStream, type Bytes, concat } from "../bytes.ts";

/** Where a length stands in a frame's head, and how long that is: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach */
const LENGTH = 4;
const HEAD = 8;

/** The content of an engine's frames, which mix what a process wrote to its two outputs. */
export async function* frames(stream: ByteStream): AsyncGenerator<Bytes> {
  let held: Bytes = new Uint8Array(0);
  for await (const chunk of stream) {
    held = concat([held, chunk]);
    for (;;) {
      if (held.byteLength < HEAD) break;
      const length = new DataView(held.buffer, held.byteOffset).getUint32(LENGTH);
      if (held.byteLength < HEAD + length) break;
      yield held.subarray(HEAD, HEAD + length);
      held = held.slice(HEAD + length);
    }
  }
}
