import { Duplex } from "node:stream";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import type { Bytes } from "../bytes.ts";
import { eachField } from "./buildkit-messages.ts";
import type { GrpcStream } from "./grpc.ts";

/** `BytesMessage { 1: data }`, in which BuildKit wraps streams of bytes. */
export function encodeBytes(data: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(1, 2).bytes(data).finish();
}

export function decodeBytes(message: Uint8Array): Bytes {
  let data: Bytes = new Uint8Array(0);
  eachField(message, (field, reader) => {
    if (field !== 1) return false;
    data = new Uint8Array(reader.bytes());
    return true;
  });
  return data;
}

/** A gRPC call as a connection: a session of buildkitd runs inside one. */
export class Tunnel extends Duplex {
  readonly #stream: GrpcStream;

  constructor(stream: GrpcStream) {
    super();
    this.#stream = stream;
    void this.#receive();
  }

  async #receive(): Promise<void> {
    try {
      for await (const message of this.#stream.messages) this.push(decodeBytes(message));
      this.push(null);
    } catch (error) {
      this.destroy(error instanceof Error ? error : undefined);
    }
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#stream.send(encodeBytes(chunk)).then(
      () => done(),
      (error: unknown) => done(error instanceof Error ? error : new Error("the tunnel is closed")),
    );
  }

  override _final(done: () => void): void {
    this.#stream.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#stream.close();
    done(error);
  }
}
