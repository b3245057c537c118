import type { Server } from "bun";
import { DavitError, reasonOf } from "../errors.ts";
import { isLoopback } from "../hosts.ts";
import { type Connection, sockets } from "./sockets.ts";

export interface Address {
  hostname: string;
  port: number;
}

/** Seconds a connection may be silent: before a whole request is here, and while one is served. */
const HEADER_IDLE = 10;
const BODY_IDLE = 120;

/** Reads `ADDR:PORT`, `:PORT` or a bare port; no address is this machine only. */
export function parseAddress(text: string): Address {
  const [, host = "", port = ""] = /^(?:(\[[0-9a-fA-F:]+\]|[^:]*):)?(\d{1,5})$/.exec(text) ?? [];
  if (port === "" || Number(port) > 65_535)
    throw new DavitError("usage", `Cannot listen on ${JSON.stringify(text)}: it is not like 127.0.0.1:5000`);
  return { hostname: host === "" ? "127.0.0.1" : host.replace(/^\[|\]$/g, ""), port: Number(port) };
}

export function isLocal({ hostname }: Address): boolean {
  return isLoopback(hostname);
}

export interface ListenOptions {
  address: Address;
  /** Names clients may call us by, beside those of loopback and the address itself. */
  hosts?: readonly string[];
  /** A certificate and its key, in PEM; without them it is plain HTTP. */
  tls?: { cert: string; key: string } | undefined;
  /** `from` is the client's address; `upgrade` turns the request into a web socket, which then needs no answer. */
  handle(
    request: Request,
    from: string,
    upgrade: (data: Connection) => boolean,
  ): Promise<Response | undefined>;
}

/**
 * Serves HTTP. A page in somebody's browser gets nowhere: requests for other host
 * names (DNS rebinding) and from other origins are refused before they are looked at.
 */
export function listen({ address, hosts = [], tls, handle }: ListenOptions): Server<Connection> {
  try {
    return Bun.serve<Connection>({
      hostname: address.hostname,
      port: address.port,
      idleTimeout: HEADER_IDLE,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      async fetch(request, server) {
        server.timeout(request, BODY_IDLE);
        const from = server.requestIP(request)?.address ?? "";
        const upgrade = (data: Connection): boolean =>
          server.upgrade(request, {
            data,
            ...(data.protocol ? { headers: { "sec-websocket-protocol": data.protocol } } : {}),
          });
        return refused(request, address, hosts) ?? (await handle(request, from, upgrade));
      },
      websocket: sockets,
      ...(tls ? { tls } : {}),
      error: () => new Response(null, { status: 500 }),
    });
  } catch (cause) {
    throw new DavitError("io", `Cannot listen on ${address.hostname}:${address.port}: ${reasonOf(cause)}`, {
      cause,
    });
  }
}

function refused(request: Request, address: Address, hosts: readonly string[]): Response | undefined {
  const header = request.headers.get("host") ?? "";
  const name = header.replace(/:\d+$/, "").toLowerCase();
  const anyAddress = address.hostname === "0.0.0.0" || address.hostname === "::";
  const known =
    isLoopback(name) || name === address.hostname || hosts.includes(name) || (anyAddress && isIp(name));
  if (header.includes(",") || !known) return new Response("unknown host\n", { status: 421 });
  const origin = request.headers.get("origin");
  const foreign =
    origin !== null && origin.replace(/^https?:\/\//, "").toLowerCase() !== header.toLowerCase();
  if (foreign || request.headers.get("sec-fetch-site") === "cross-site")
    return new Response("browsers are not served here\n", { status: 403 });
  return undefined;
}

function isIp(name: string): boolean {
  return /^[\d.]+$/.test(name) || name.startsWith("[");
}

/** `http://ADDR:PORT` as clients on this machine reach it. */
export function addressOf(server: Server<Connection>, { hostname }: Address, secure = false): string {
  const shown = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${secure ? "https" : "http"}://${shown}:${server.port}`;
}
