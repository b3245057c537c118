import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import type { Bytes } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { framesOf, writeFrames } from "./grpc-frames.ts";
import type { EngineHost } from "./host.ts";
import { upgrade } from "./upgrade.ts";

/** How much of a stream may come unread, in bytes: set once, for Bun stops at a window that is changed later. */
const WINDOW = 4 * 1024 * 1024;

/** Request headers; one with several values is repeated. */
export type Metadata = Record<string, string | string[]>;

/** gRPC over one connection, as a client; `WindowFix` below it is what makes large transfers safe. */
export class Grpc implements AsyncDisposable {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** Over a connection that speaks HTTP/2; `head` is what has come of it already. */
  static async over(socket: Duplex, head: Buffer = Buffer.alloc(0)): Promise<Grpc> {
    const [{ connect }, { WindowFix }] = await Promise.all([import("node:http2"), import("./h2-windows.ts")]);
    const duplex = new WindowFix(socket, head, false);
    const session = connect("http://localhost", {
      createConnection: () => duplex,
      settings: { initialWindowSize: WINDOW },
    });
    session.on("error", () => undefined);
    return new Grpc(session);
  }

  /** The gRPC face of a Docker Engine's BuildKit: `POST /grpc`, upgraded. */
  static async connect(host: EngineHost, version: string): Promise<Grpc> {
    const { socket, head } = await upgrade(host, `/v${version}/grpc`, { to: "h2c", doing: "speak gRPC" });
    return await Grpc.over(socket, head);
  }

  /** One message there, one back. A stream that is aborted ends quietly. */
  async call(
    method: string,
    message: Uint8Array,
    metadata: Metadata = {},
    signal?: AbortSignal,
  ): Promise<Bytes> {
    const stream = this.open(method, metadata, signal);
    await stream.send(message);
    stream.end();
    let answer: Bytes | undefined;
    for await (const part of stream.messages) answer ??= part;
    return answer ?? new Uint8Array(0);
  }

  /** A call with any number of messages each way. */
  open(method: string, metadata: Metadata = {}, signal?: AbortSignal): GrpcStream {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": method,
      "content-type": "application/grpc",
      te: "trailers",
      ...metadata,
    });
    signal?.addEventListener("abort", () => stream.close(), { once: true });
    return new GrpcStream(stream, method);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
  }
}

/** One call under way. */
export class GrpcStream {
  readonly #stream: ClientHttp2Stream;
  readonly #method: string;
  #status: string | undefined;
  #why = "";

  constructor(stream: ClientHttp2Stream, method: string) {
    this.#stream = stream;
    this.#method = method;
    stream.on("response", (headers: Record<string, unknown>) => this.#note(headers));
    stream.on("trailers", (headers: Record<string, unknown>) => this.#note(headers));
    stream.on("error", () => undefined);
  }

  #note(headers: Record<string, unknown>): void {
    if (headers["grpc-status"] !== undefined) this.#status = String(headers["grpc-status"]);
    if (headers["grpc-message"] !== undefined)
      this.#why = decodeURIComponent(String(headers["grpc-message"]));
  }

  /** Resolves when there is room for more. */
  async send(message: Uint8Array): Promise<void> {
    await writeFrames(this.#stream, [message]);
  }

  /** No more messages from us. */
  end(): void {
    this.#stream.end();
  }

  close(): void {
    this.#stream.close();
  }

  /** What comes back, until the other side has ended the call; a status other than OK is an error in its words. */
  get messages(): AsyncGenerator<Bytes> {
    return this.#receive();
  }

  async *#receive(): AsyncGenerator<Bytes> {
    try {
      yield* framesOf(this.#stream);
    } catch (error) {
      if (this.#status === undefined) throw this.#failure(reasonOf(error));
    }
    if (this.#status !== "0")
      throw this.#failure(this.#why || (this.#status ? `gRPC status ${this.#status}` : "it broke off"));
  }

  #failure(why: string): DavitError {
    return new DavitError("engine", `The engine refused ${this.#method}: ${why}`, { cause: new Error(why) });
  }
}
