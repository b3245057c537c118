import type { ByteStream, Bytes } from "../bytes.ts";
import { toReadable } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import { isLoopback, proxyFor } from "./proxy.ts";

export { isLoopback } from "./proxy.ts";

export type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** A body that is read as it is sent. */
export interface StreamBody {
  stream: ByteStream;
  /** In bytes; without it the body goes out in HTTP chunks. */
  length?: number;
}

/** What a user asked for, or a certificate directory holds, about one host. */
export interface Trust {
  /** Plain http is allowed. */
  plainHttp?: boolean;
  tls?: { ca?: string[]; cert?: string; key?: string; rejectUnauthorized?: boolean };
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
 * connection that falls silent is given up, whoever's turn it is to speak.
 */
export async function request(url: string, options: HttpRequest = {}): Promise<Response> {
  let target = checkedUrl(url, options.trust);
  const origin = target.origin;
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    const response = await send(target, options, target.origin === origin);
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

/** Lets go of an answer nobody will read. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

function checkedUrl(text: string, trust: Trust | undefined): URL {
  const url = new URL(text);
  if (url.protocol !== "https:" && url.protocol !== "http:")
    throw new DavitError("denied", `Cannot open ${url.protocol} addresses`);
  if (url.protocol === "http:" && !isLoopback(url.hostname) && !trust?.plainHttp)
    throw new DavitError("denied", `Cannot use plain http to ${url.host}: it would show what is sent`, {
      hint: `give --plain-http ${url.host} if that is what you want`,
    });
  return url;
}

async function send(url: URL, options: HttpRequest, ours: boolean): Promise<Response> {
  const watch = new Watch();
  const signal = options.signal ? AbortSignal.any([options.signal, watch.signal]) : watch.signal;
  const { body, headers, ended } = outgoing(options.body, watch);
  try {
    watch.start(body instanceof ReadableStream ? 0 : options.patience);
    const answer = fetch(url, {
      method: options.method ?? "GET",
      headers: {
        "accept-encoding": "identity",
        "user-agent": "davit",
        ...headers,
        ...options.headers,
        ...(ours && options.authorization ? { authorization: options.authorization } : {}),
      },
      body,
      redirect: "manual",
      decompress: false,
      keepalive: !options.alone,
      signal,
      ...transport(url, options.trust),
    });
    void ended.then(() => watch.start(options.patience));
    return await answer;
  } catch (cause) {
    if (options.signal?.aborted) throw interrupted(cause);
    if (watch.sourceFailure !== undefined) throw watch.sourceFailure;
    const why = watch.expired ? `it was silent for ${Math.round(watch.limit / 1000)} s` : wordsFor(cause);
    throw new DavitError(isUntrusted(cause) ? "denied" : "unavailable", `Cannot reach ${url.host}: ${why}`, {
      cause,
      ...(isUntrusted(cause)
        ? { hint: `put its CA certificate into ~/.docker/certs.d/${url.host}/ca.crt` }
        : {}),
    });
  } finally {
    watch.stop();
  }
}

/** What Bun's fetch takes beside the standard's options. */
function transport(url: URL, trust: Trust | undefined) {
  return {
    timeout: false,
    proxy: proxyFor(url, process.env),
    ...(url.protocol === "https:" && trust?.tls ? { tls: trust.tls } : {}),
  };
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

function isUntrusted(cause: unknown): boolean {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(code);
}

function interrupted(cause: unknown): DavitError {
  return new DavitError("interrupted", "Interrupted", { cause });
}

/** Ends a request on which nothing has moved for too long. */
class Watch {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  limit = idleTimeout();
  /** What the body's own source failed with: its error, not the link's. */
  sourceFailure: unknown;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get expired(): boolean {
    return this.#controller.signal.aborted;
  }

  start(patience = 0): void {
    clearTimeout(this.#timer);
    this.limit = Math.max(patience, idleTimeout());
    this.#timer = setTimeout(() => this.#controller.abort(), this.limit);
  }

  /** While the source is asked for bytes, the other side cannot be blamed for silence. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}

function outgoing(body: HttpRequest["body"], watch: Watch) {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array)
    return { body: body ?? null, headers: {}, ended };
  const headers: Record<string, string> =
    body.length === undefined ? {} : { "content-length": String(body.length) };
  return { body: toReadable(watched(body.stream, watch, end)), headers, ended };
}

async function* watched(stream: ByteStream, watch: Watch, end: () => void): AsyncGenerator<Bytes> {
  const garbage = new Garbage();
  try {
    watch.stop();
    for await (const chunk of stream) {
      watch.start();
      yield chunk;
      garbage.made(chunk.byteLength);
      watch.stop();
    }
  } catch (error) {
    watch.sourceFailure = error;
    throw error;
  }
  end();
}

/** A response's body; silence for too long, and a link that breaks, are errors of code `unavailable`. */
export async function* bodyOf(response: Response, what: string, signal?: AbortSignal): AsyncGenerator<Bytes> {
  const body: ReadableStream<Bytes> | null = response.body;
  if (!body) return;
  const reader = body.getReader();
  const garbage = new Garbage();
  using watch = new ReadWatch(() => void reader.cancel().catch(() => undefined), signal);
  try {
    for (;;) {
      watch.waiting();
      const { done, value } = await reader.read();
      watch.served();
      if (watch.expired) throw silent(what);
      if (signal?.aborted) throw interrupted(signal.reason);
      if (done) return;
      yield value;
      // What was given away, to another thread, has no length any more and is no garbage here.
      garbage.made(value.byteLength);
    }
  } catch (cause) {
    if (cause instanceof DavitError) throw cause;
    if (signal?.aborted) throw interrupted(cause);
    throw new DavitError("unavailable", `Cannot read ${what}: ${reasonOf(cause)}`, { cause });
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

function silent(what: string): DavitError {
  return new DavitError("unavailable", `Cannot read ${what}: nothing came for ${idleTimeout() / 1000} s`);
}

/** Ends a reading that waits for too long, or that nobody wants any more. One clock for all its chunks: a timer for each costs more than the chunk. */
class ReadWatch implements Disposable {
  readonly #cancel: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #limit = idleTimeout();
  #since: number | undefined;
  expired = false;

  constructor(cancel: () => void, signal: AbortSignal | undefined) {
    this.#cancel = cancel;
    this.#signal = signal;
    this.#timer = setInterval(() => this.#look(), Math.min(1000, this.#limit / 10));
    signal?.addEventListener("abort", cancel);
  }

  waiting(): void {
    this.#since = performance.now();
  }

  served(): void {
    this.#since = undefined;
  }

  #look(): void {
    if (this.#since === undefined || performance.now() - this.#since < this.#limit) return;
    this.expired = true;
    this.#cancel();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#signal?.removeEventListener("abort", this.#cancel);
  }
}
