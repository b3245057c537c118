import type { Http2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { ByteQueue } from "../byte-queue.ts";
import type { Bytes } from "../bytes.ts";

/** gRPC's frame: not compressed, length in four bytes, message. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
const HEAD = 5;
/** Longer messages are refused, in bytes; BuildKit itself sends 16 MiB at most. */
const MAX_MESSAGE = 64 * 1024 * 1024;

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
  const pending = new ByteQueue();
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    pending.push(chunk);
    while (pending.size >= HEAD) {
      const length = new DataView(pending.head(HEAD).buffer).getUint32(1);
      if (length > MAX_MESSAGE) throw new Error("the engine sent a message that is too long");
      if (pending.size < HEAD + length) break;
      yield pending.take(HEAD + length).subarray(HEAD);
    }
  }
}
