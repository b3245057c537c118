import type { Bytes } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";

export interface HttpRequest {
  method?: "GET" | "HEAD" | "POST";
  headers?: Record<string, string>;
  body?: string;
  /** Sent to the first origin only; a redirect elsewhere goes without. */
  authorization?: string | undefined;
  signal?: AbortSignal;
}

const MAX_REDIRECTS = 5;

/** How long a connection may be silent, in milliseconds. */
export function idleTimeout(): number {
  const seconds = Number(process.env["DAVIT_IDLE_TIMEOUT"]);
  return (seconds > 0 ? seconds : 30) * 1000;
}

/**
 * The one way out to registries: redirects are followed by hand, credentials
 * stay with the origin they were meant for, bodies come as they were sent, and a
 * connection that falls silent is given up.
 */
export async function request(url: string, options: HttpRequest = {}): Promise<Response> {
  let target = checkedUrl(url);
  const origin = target.origin;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await send(target, options, target.origin === origin);
    const location = response.headers.get("location");
    if (response.status < 300 || response.status > 399 || location === null) return response;
    const next = checkedUrl(new URL(location, target).href);
    if (target.protocol === "https:" && next.protocol !== "https:")
      throw new DavitError(
        "registry",
        `Cannot follow ${target.host}: it redirects from https to ${next.protocol}`,
      );
    await response.body?.cancel();
    target = next;
  }
  throw new DavitError(
    "registry",
    `Cannot follow ${checkedUrl(url).host}: more than ${MAX_REDIRECTS} redirects`,
  );
}

function checkedUrl(text: string): URL {
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new DavitError("denied", `Cannot open ${url.protocol} addresses`);
  if (url.protocol === "http:" && !isLoopback(url.hostname))
    throw new DavitError(
      "denied",
      `Cannot use plain http to ${url.host}: only this machine is reached without TLS`,
    );
  return url;
}

export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname === "[::1]" ||
    hostname === "::1" ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  );
}

async function send(url: URL, options: HttpRequest, ours: boolean): Promise<Response> {
  const idle = new AbortController();
  const timer = setTimeout(() => idle.abort(), idleTimeout());
  const signal = options.signal ? AbortSignal.any([options.signal, idle.signal]) : idle.signal;
  try {
    return await fetch(url, {
      method: options.method ?? "GET",
      headers: {
        "accept-encoding": "identity",
        ...options.headers,
        ...(ours && options.authorization ? { authorization: options.authorization } : {}),
      },
      body: options.body ?? null,
      redirect: "manual",
      decompress: false,
      signal,
      ...(isLoopback(url.hostname) ? { proxy: "" } : {}),
    });
  } catch (cause) {
    if (options.signal?.aborted) throw new DavitError("interrupted", "Interrupted", { cause });
    const why = idle.signal.aborted ? `it was silent for ${idleTimeout() / 1000} s` : reasonOf(cause);
    throw new DavitError("registry", `Cannot reach ${url.host}: ${why}`, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** A response's body; silence for too long is an error. */
export async function* bodyOf(response: Response, what: string): AsyncGenerator<Bytes> {
  const body: ReadableStream<Bytes> | null = response.body;
  if (!body) return;
  const reader = body.getReader();
  try {
    for (;;) {
      const { promise: silence, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(
        () =>
          reject(
            new DavitError("registry", `Cannot read ${what}: nothing came for ${idleTimeout() / 1000} s`),
          ),
        idleTimeout(),
      );
      const { done, value } = await Promise.race([reader.read(), silence]).finally(() => clearTimeout(timer));
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
