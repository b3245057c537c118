import type { Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Bytes } from "../bytes.ts";

/** gRPC's frame: not compressed, length in four bytes, message. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
const HEAD = 5;

/** Sends messages in one piece; resolves when there is room for more. */
export async function writeFrames(
  stream: Http2Stream & Duplex,
  messages: readonly Uint8Array[],
): Promise<void> {
  if (stream.destroyed) throw new Error("the engine hung up");
  const parts = messages.flatMap((message) => {
    const head = Buffer.alloc(HEAD);
    head.writeUInt32BE(message.byteLength, 1);
    return [head, message];
  });
  if (stream.write(Buffer.concat(parts))) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closed = (): void => reject(new Error("the engine hung up"));
  stream.once("drain", resolve);
  stream.once("close", closed);
  await promise.finally(() => {
    stream.off("drain", resolve);
    stream.off("close", closed);
  });
}

/** The messages of a stream, until its other side ends it. */
export async function* framesOf(stream: Duplex): AsyncGenerator<Bytes> {
  let pending = Buffer.alloc(0);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    pending = pending.byteLength === 0 ? chunk : Buffer.concat([pending, chunk]);
    while (pending.byteLength >= HEAD) {
      const length = HEAD + pending.readUInt32BE(1);
      if (pending.byteLength < length) break;
      yield new Uint8Array(pending.subarray(HEAD, length));
      pending = pending.subarray(length);
    }
  }
}
