import type { ServerHttp2Session, ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Bytes } from "../bytes.ts";
import { hasCode, reasonOf } from "../errors.ts";
import type { EngineClient } from "./client.ts";
import { framesOf, writeFrames } from "./grpc-frames.ts";
import { WindowFix } from "./h2-windows.ts";
import { upgrade } from "./upgrade.ts";

/** A call that the engine makes back to us. */
export interface SessionCall {
  /** Every value of a request header, in order: joined ones could not be told apart. */
  metadata(name: string): string[];
  /** The messages the engine sends. */
  messages: AsyncIterable<Bytes>;
  /** In one piece, however many; resolves when there is room for more. */
  send(...messages: Uint8Array[]): Promise<void>;
}

/** What a session answers, by method: `/moby.filesync.v1.FileSync/DiffCopy`. A handler that returns ends its call. */
export type SessionMethods = Record<string, (call: SessionCall) => Promise<void>>;

const HEALTH = "/grpc.health.v1.Health/Check";
/** `HealthCheckResponse { status: SERVING }` */
const SERVING = new Uint8Array([8, 1]);
const UNIMPLEMENTED = "12";
const INTERNAL = "13";
const NOT_FOUND = "5";

/** What tells of a session when it is opened. `key` is the same for the same directory: by it an engine finds what it got before. */
export interface SessionName {
  name: string;
  key: string;
}

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

  /** Of a Docker Engine: on a connection that is upgraded for it. */
  static async open(
    client: EngineClient,
    { name, key }: SessionName,
    methods: SessionMethods,
  ): Promise<EngineSession> {
    const version = await client.version();
    return await EngineSession.over(methods, async (id, served) => {
      return await upgrade(client.host, `/v${version}/session`, {
        to: "h2c",
        doing: "open a session",
        headers: [
          `X-Docker-Expose-Session-Uuid: ${id}`,
          `X-Docker-Expose-Session-Name: ${printable(name)}`,
          `X-Docker-Expose-Session-Sharedkey: ${key}`,
          ...served.map((method) => `X-Docker-Expose-Session-Grpc-Method: ${method}`),
        ],
      });
    });
  }

  /** Over whatever `dial` opens for a session of this id that serves these methods. */
  static async over(
    methods: SessionMethods,
    dial: (id: string, served: string[]) => Promise<{ socket: Duplex; head: Buffer }>,
  ): Promise<EngineSession> {
    const id = crypto.randomUUID().replaceAll("-", "").slice(0, 25);
    const served: SessionMethods = { [HEALTH]: (call) => call.send(SERVING), ...methods };
    const { socket, head } = await dial(id, Object.keys(served));
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

export function printable(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, "_");
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
        messages: framesOf(stream),
        send: (...messages) => writeFrames(stream, messages),
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
