import type { Socket } from "node:net";
import { DavitError, reasonOf } from "../errors.ts";
import { checkJson, Type } from "../schema.ts";
import type { EngineHost } from "./host.ts";

const Refusal = Type.Object({ message: Type.String() });

/** How long the engine may take to answer one of these small calls, in milliseconds. */
export const PATIENCE = 10_000;

/** The longest head of an answer, in bytes. */
const MAX_HEAD = 64 * 1024;

/** A connection that speaks something else than HTTP now, and the bytes that came along with the answer. */
export interface Upgraded {
  socket: Socket;
  head: Buffer;
}

export interface UpgradeRequest {
  /** `h2c`, or `tcp` for plain bytes. */
  to: "h2c" | "tcp";
  /** Lines that go out as they are: some must be repeated. */
  headers?: string[];
  json?: unknown;
  /** What cannot be done where the engine has no such thing. */
  doing: string;
}

/** Asks for another protocol on a connection of our own. */
export async function upgrade(host: EngineHost, path: string, request: UpgradeRequest): Promise<Upgraded> {
  const socket = await dial(host, request.to === "tcp");
  const { promise, resolve, reject } = Promise.withResolvers<Upgraded>();
  let head = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0 && head.byteLength > MAX_HEAD)
      reject(new DavitError("engine", "The engine answers without end"));
    if (end < 0) return;
    socket.off("data", onData);
    socket.pause();
    const [line = ""] = head.toString("latin1", 0, end).split("\r\n");
    const rest = head.subarray(end + 4);
    if (/^HTTP\/1\.1 101 /.test(line)) resolve({ socket, head: rest });
    else reject(refused(request.doing, line, rest));
  };
  socket.on("data", onData);
  socket.on("error", reject);
  socket.on("close", () => reject(new DavitError("engine", "The engine closed the connection")));
  const timer = setTimeout(() => reject(new DavitError("engine", "The engine did not answer")), PATIENCE);
  socket.write(requestText(path, request));
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

function requestText(path: string, { to, headers = [], json }: UpgradeRequest): string {
  const body = json === undefined ? "" : JSON.stringify(json);
  const typed =
    body === "" ? [] : ["Content-Type: application/json", `Content-Length: ${Buffer.byteLength(body)}`];
  const lines = [`POST ${path} HTTP/1.1`, "Host: docker", "Connection: Upgrade", `Upgrade: ${to}`];
  return `${[...lines, ...typed, ...headers].join("\r\n")}\r\n\r\n${body}`;
}

function refused(doing: string, line: string, body: Buffer): DavitError {
  return new DavitError("unsupported", `Cannot ${doing}: ${messageIn(body.toString()) ?? line}`);
}

/** The body may be chunked: its JSON stands between the lengths. */
function messageIn(body: string): string | undefined {
  try {
    const json = body.slice(body.indexOf("{"), body.lastIndexOf("}") + 1);
    return checkJson(Refusal, json, "the engine's answer", "engine").message;
  } catch {
    return undefined;
  }
}

/** Plain bytes end in each direction by itself. */
async function dial(host: EngineHost, allowHalfOpen: boolean): Promise<Socket> {
  if (host.unix) return (await import("node:net")).connect({ path: host.unix, allowHalfOpen });
  const { hostname, port } = new URL(host.url);
  const at = { host: hostname, port: Number(port), allowHalfOpen };
  if (!host.tls) return (await import("node:net")).connect(at);
  return (await import("node:tls")).connect({ ...at, ...host.tls });
}
