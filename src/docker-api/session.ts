import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Bytes } from "../bytes.ts";
import { hasCode, reasonOf } from "../errors.ts";
import type { EngineClient } from "./client.ts";
import { frame, upgrade } from "./grpc.ts";
import { WindowFix } from "./h2-windows.ts";

/** A call that the engine makes back to us. */
export interface SessionCall {
  /** Every value of a request header, in order: joined ones could not be told apart. */
  metadata(name: string): string[];
  /** The messages the engine sends. */
  messages: AsyncIterable<Bytes>;
  /** Resolves when there is room for more. */
  send(message: Uint8Array): Promise<void>;
}

/** What a session answers, by method: `/moby.filesync.v1.FileSync/DiffCopy`. A handler that returns ends its call. */
export type SessionMethods = Record<string, (call: SessionCall) => Promise<void>>;

const HEALTH = "/grpc.health.v1.Health/Check";
/** `HealthCheckResponse { status: SERVING }` */
const SERVING = new Uint8Array([8, 1]);
const UNIMPLEMENTED = "12";
const INTERNAL = "13";
const NOT_FOUND = "5";

/**
 * A BuildKit session: the engine asks us, over a connection we opened, for files
 * and credentials while it builds. gRPC over Bun's HTTP/2, the other way round.
 */
export class EngineSession implements AsyncDisposable {
  readonly id: string;
  readonly #http: ServerHttp2Session;

  private constructor(id: string, http: ServerHttp2Session) {
    this.id = id;
    this.#http = http;
  }

  /** `key` is the same for the same directory: by it the engine finds what it got before. */
  static async open(
    client: EngineClient,
    name: string,
    key: string,
    methods: SessionMethods,
  ): Promise<EngineSession> {
    const id = crypto.randomUUID().replaceAll("-", "").slice(0, 25);
    const served: SessionMethods = { [HEALTH]: (call) => call.send(SERVING), ...methods };
    const { socket, head } = await upgrade(client.host, `/v${await client.version()}/session`, [
      `X-Docker-Expose-Session-Uuid: ${id}`,
      `X-Docker-Expose-Session-Name: ${name.replace(/[^\x21-\x7e]/g, "_")}`,
      `X-Docker-Expose-Session-Sharedkey: ${key}`,
      ...Object.keys(served).map((method) => `X-Docker-Expose-Session-Grpc-Method: ${method}`),
    ]);
    const { performServerHandshake } = await import("node:http2");
    const http = performServerHandshake(new WindowFix(socket, head, true));
    http.on("error", () => undefined);
    http.on(
      "stream",
      (stream: ServerHttp2Stream, headers: Record<string, unknown>, _flags: number, raw: string[]) => {
        stream.on("error", () => undefined);
        void serve(stream, served[String(headers[":path"])], raw);
      },
    );
    return new EngineSession(id, http);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http.destroy();
  }
}

async function serve(
  stream: ServerHttp2Stream,
  method: SessionMethods[string] | undefined,
  raw: string[],
): Promise<void> {
  let status = "0";
  let why = "";
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () =>
    stream.sendTrailers({ "grpc-status": status, "grpc-message": encodeURIComponent(why) }),
  );
  try {
    if (method)
      await method({
        metadata: (name) => valuesOf(raw, name),
        messages: messagesOf(stream),
        send: (message) => write(stream, message),
      });
    else status = UNIMPLEMENTED;
  } catch (error) {
    status = hasCode(error, "not-found") ? NOT_FOUND : INTERNAL;
    why = reasonOf(error);
  }
  stream.end();
}

function valuesOf(raw: string[], name: string): string[] {
  const values: string[] = [];
  for (let i = 0; i + 1 < raw.length; i += 2) if (raw[i] === name) values.push(raw[i + 1] ?? "");
  return valuesDecoded(values, raw, name);
}

/** `<name>-encoded: 1` says that the values are percent-encoded. */
function valuesDecoded(values: string[], raw: string[], name: string): string[] {
  const encoded = raw.some((word, i) => word === `${name}-encoded` && raw[i + 1] === "1");
  return encoded ? values.map((value) => decodeURIComponent(value)) : values;
}

async function write(stream: ServerHttp2Stream, message: Uint8Array): Promise<void> {
  if (stream.destroyed) throw new Error("the engine hung up");
  if (stream.write(frame(message))) return;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const closed = (): void => reject(new Error("the engine hung up"));
  stream.once("drain", resolve);
  stream.once("close", closed);
  await promise.finally(() => {
    stream.off("drain", resolve);
    stream.off("close", closed);
  });
}

/** gRPC's frames: a flag, a length in four bytes, a message. */
async function* messagesOf(stream: ServerHttp2Stream): AsyncGenerator<Bytes> {
  let pending = Buffer.alloc(0);
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.byteLength >= 5) {
      const length = 5 + pending.readUInt32BE(1);
      if (pending.byteLength < length) break;
      yield new Uint8Array(pending.subarray(5, length));
      pending = pending.subarray(length);
    }
  }
}
