import { checkServerIdentity, type PeerCertificate } from "node:tls";
import type { Bytes } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { isLoopback } from "../hosts.ts";
import { proxyFor, shownProxy } from "../proxy.ts";
import { interrupted } from "../silence.ts";
import { type Reach, reachable } from "./reach.ts";
import { outgoing, type StreamBody, Watch } from "./request-body.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What a user asked for, or a certificate directory holds, about one host. */
export interface Trust {
  /** Plain http is allowed. */
  plainHttp?: boolean;
  tls?: {
    ca?: string[];
    cert?: string;
    key?: string;
    rejectUnauthorized?: boolean;
    checkServerIdentity?: (name: string, certificate: PeerCertificate) => Error | undefined;
    serverName?: string;
  };
  /** What to do about a certificate that is not the one expected. */
  hint?: string;
}

export interface HttpRequest {
  method?: Method;
  headers?: Record<string, string>;
  body?: string | Bytes | StreamBody;
  /** Sent to the first origin only; a redirect elsewhere goes without. */
  authorization?: string | undefined;
  signal?: AbortSignal | undefined;
  trust?: Trust | undefined;
  /** How long the answer may take once the request is out, in milliseconds, where it is more than the idle timeout. */
  patience?: number;
  /** On a connection of its own. */
  alone?: boolean;
  /** Only there, redirects included; undefined is anywhere. */
  reach?: Reach | undefined;
  /** Past any proxy: for what only this machine can reach, such as its cloud's metadata. */
  direct?: boolean;
}

const MAX_REDIRECTS = 5;
/** The longest answer of a service that gives logins, in bytes. */
export const MAX_ANSWER = 1024 * 1024;

/**
 * The one way out to registries: redirects are followed by hand, credentials
 * stay with the origin they were meant for, bodies come as they were sent, and a
 * connection that falls silent is given up, whoever's turn it is to speak.
 */
export async function request(url: string, options: HttpRequest = {}): Promise<Response> {
  let target = checkedUrl(url, options.trust);
  const origin = target.origin;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const address = options.reach && (await reachable(target, options.reach));
    const response = await send(target, options, target.origin === origin, address);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null) return response;
    const next = redirected(target, location, options);
    await discard(response);
    target = next;
  }
  throw new DavitError(
    "registry",
    `Cannot follow ${new URL(url).host}: more than ${MAX_REDIRECTS} redirects`,
  );
}

function redirected(target: URL, location: string, options: HttpRequest): URL {
  const next = checkedUrl(new URL(location, target).href, options.trust);
  if (target.protocol === "https:" && next.protocol !== "https:")
    throw new DavitError(
      "denied",
      `Cannot follow ${target.host}: it redirects from https to ${next.protocol}`,
    );
  const method = options.method ?? "GET";
  if (method !== "GET" && method !== "HEAD")
    throw new DavitError(
      "registry",
      `Cannot send to ${target.host}: it redirects a ${method} to ${next.host}`,
    );
  return next;
}

/** ` through the proxy HOST` where an answer may be a proxy's own; else nothing. */
export function throughProxy({ url }: Response): string {
  const proxy = URL.canParse(url) ? shownProxy(new URL(url), process.env) : undefined;
  return proxy === undefined ? "" : ` through the proxy ${proxy}`;
}

/** Lets go of an answer nobody will read. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

/** Parses an address. Throws for plain HTTP that is not on loopback, unless `trust` allows it. */
export function checkedUrl(text: string, trust: Trust | undefined): URL {
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new DavitError("denied", `Cannot open ${url.protocol} addresses`);
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !trust?.plainHttp)
    throw new DavitError("denied", `Cannot use plain http to ${url.host}: it would show what is sent`, {
      hint: `give --plain-http ${url.host} if that is what you want`,
    });
  return url;
}

/** `address` is the host's, where it is not to be looked up again. */
async function send(
  url: URL,
  options: HttpRequest,
  ours: boolean,
  address: string | undefined,
): Promise<Response> {
  const route = transport(url, options);
  // A proxy looks names up by itself.
  const fixed = route.proxy === false ? address : undefined;
  const watch = new Watch();
  const signal = options.signal ? AbortSignal.any([options.signal, watch.signal]) : watch.signal;
  const { body, headers, ended } = outgoing(options.body, watch);
  try {
    watch.start(body instanceof ReadableStream ? 0 : options.patience);
    const answer = fetch(fixed === undefined ? url : at(url, fixed), {
      method: options.method ?? "GET",
      headers: {
        "accept-encoding": "identity",
        "user-agent": "davit",
        ...headers,
        ...options.headers,
        ...(ours && options.authorization ? { authorization: options.authorization } : {}),
        ...(fixed === undefined ? {} : { host: url.host }),
      },
      body,
      redirect: "manual",
      decompress: false,
      keepalive: !options.alone,
      signal,
      ...route,
      ...(fixed !== undefined && url.protocol === "https:" ? { tls: named(url, options.trust) } : {}),
    });
    void ended.then(() => watch.start(options.patience));
    return await answer;
  } catch (cause) {
    if (options.signal?.aborted) throw interrupted(cause);
    if (watch.sourceFailure !== undefined) throw watch.sourceFailure;
    throw unreachable(url, options, watch, cause);
  } finally {
    watch.stop();
  }
}

function at(url: URL, address: string): URL {
  const fixed = new URL(url);
  fixed.hostname = address.includes(":") ? `[${address}]` : address;
  return fixed;
}

/** TLS with the host's name, on a connection that was opened by its address. */
function named({ hostname }: URL, trust: Trust | undefined): NonNullable<Trust["tls"]> {
  return {
    serverName: hostname,
    checkServerIdentity: (_, certificate) => checkServerIdentity(hostname, certificate),
    ...trust?.tls,
  };
}

/** What Bun's fetch takes beside the standard's options. */
function transport(url: URL, { trust, direct }: HttpRequest) {
  return {
    timeout: false,
    proxy: direct ? (false as const) : proxyFor(url, process.env),
    ...(url.protocol === "https:" && trust?.tls ? { tls: trust.tls } : {}),
  };
}

function unreachable(url: URL, { trust, direct }: HttpRequest, watch: Watch, cause: unknown): DavitError {
  const proxy = direct ? undefined : shownProxy(url, process.env);
  const where = proxy === undefined ? url.host : `${url.host} through the proxy ${proxy}`;
  const why = watch.expired ? `it was silent for ${Math.round(watch.limit / 1000)} s` : wordsFor(cause);
  const code = isUntrusted(cause) || isRefused(cause) ? "denied" : "unavailable";
  const hint = isUntrusted(cause)
    ? (trust?.hint ?? `put its CA certificate into ~/.docker/certs.d/${url.host}/ca.crt`)
    : proxy && "see HTTPS_PROXY, HTTP_PROXY and NO_PROXY";
  return new DavitError(code, `Cannot reach ${where}: ${why}`, { cause, ...(hint ? { hint } : {}) });
}

const WORDS: Record<string, string> = {
  ECONNREFUSED: "nobody listens there",
  ConnectionRefused: "nobody listens there",
  ENOTFOUND: "there is no such host",
  ECONNRESET: "the connection was reset",
};

function wordsFor(cause: unknown): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return WORDS[code] ?? reasonOf(cause);
}

/** The proxy wants another login, or does not go there. */
function isRefused(cause: unknown): boolean {
  const status = cause instanceof Error && "status" in cause ? cause.status : undefined;
  return status === 403 || status === 407;
}

function isUntrusted(cause: unknown): boolean {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(code);
}
