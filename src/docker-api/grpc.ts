import type { ClientHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Bytes } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import type { EngineHost } from "./host.ts";

/** How long the engine may take to answer one of these small calls, in milliseconds. */
export const PATIENCE = 10_000;

/**
 * The gRPC face of an engine's BuildKit: `POST /grpc`, upgraded to HTTP/2. Only
 * small unary calls go over it; large transfers would need the flow-control
 * workarounds that Bun's HTTP/2 asks for.
 */
export class EngineGrpc implements AsyncDisposable {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  static async connect(host: EngineHost, version: string): Promise<EngineGrpc> {
    const [{ connect }, { WindowFix }, { socket, head }] = await Promise.all([
      import("node:http2"),
      import("./h2-windows.ts"),
      upgrade(host, `/v${version}/grpc`),
    ]);
    const duplex = new WindowFix(socket, head, false);
    const session = connect("http://localhost", { createConnection: () => duplex });
    session.on("error", () => undefined);
    return new EngineGrpc(session);
  }

  /** One message there, one back. A stream that is aborted ends quietly. */
  async call(
    method: string,
    message: Uint8Array,
    metadata: Record<string, string> = {},
    signal?: AbortSignal,
  ): Promise<Bytes> {
    const stream = this.#session.request({
      ":method": "POST",
      ":path": method,
      "content-type": "application/grpc",
      te: "trailers",
      ...metadata,
    });
    const { promise, resolve, reject } = Promise.withResolvers<Bytes>();
    const chunks: Uint8Array[] = [];
    let status: string | undefined;
    let why = "";
    const note = (headers: Record<string, unknown>): void => {
      if (headers["grpc-status"] !== undefined) status = String(headers["grpc-status"]);
      if (headers["grpc-message"] !== undefined) why = decodeURIComponent(String(headers["grpc-message"]));
    };
    stream.on("response", note);
    stream.on("trailers", note);
    stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () =>
      status === "0"
        ? resolve(unframe(chunks))
        : reject(new DavitError("engine", `The engine refused ${method}: ${why || `gRPC status ${status}`}`)),
    );
    signal?.addEventListener("abort", () => stream.close(), { once: true });
    stream.end(frame(message));
    return await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
  }
}

/** A connection that speaks HTTP/2 now, and the bytes that came along with the answer. */
export interface Upgraded {
  socket: Socket;
  head: Buffer;
}

/** Asks for HTTP/2 on a connection of our own. Header lines go out as they are: some must be repeated. */
export async function upgrade(host: EngineHost, path: string, headers: string[] = []): Promise<Upgraded> {
  const socket = await dial(host);
  const { promise, resolve, reject } = Promise.withResolvers<Upgraded>();
  let head = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) return;
    socket.off("data", onData);
    socket.pause();
    const [line = ""] = head.toString("latin1", 0, end).split("\r\n");
    if (/^HTTP\/1\.1 101 /.test(line)) resolve({ socket, head: head.subarray(end + 4) });
    else reject(new DavitError("unsupported", `The engine has no BuildKit gRPC: ${line}`));
  };
  socket.on("data", onData);
  socket.on("error", reject);
  socket.on("close", () => reject(new DavitError("engine", "The engine closed the connection")));
  const timer = setTimeout(() => reject(new DavitError("engine", "The engine did not answer")), PATIENCE);
  const lines = [`POST ${path} HTTP/1.1`, "Host: docker", "Connection: Upgrade", "Upgrade: h2c", ...headers];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  try {
    return await promise;
  } catch (error) {
    socket.destroy();
    throw error instanceof DavitError
      ? error
      : new DavitError("engine", `The engine broke off: ${reasonOf(error)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

async function dial(host: EngineHost): Promise<Socket> {
  if (host.unix) return (await import("node:net")).connect({ path: host.unix });
  const { hostname, port } = new URL(host.url);
  if (!host.tls) return (await import("node:net")).connect({ host: hostname, port: Number(port) });
  return (await import("node:tls")).connect({ host: hostname, port: Number(port), ...host.tls });
}

/** gRPC's frame: not compressed, length in four bytes, message. */
export function frame(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}

function unframe(chunks: Uint8Array[]): Bytes {
  return new Uint8Array(Buffer.concat(chunks).subarray(5));
}
