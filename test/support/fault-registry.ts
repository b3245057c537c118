import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";

/** One request as it came in, for tests to assert on. */
export interface LogEntry {
  method: string;
  path: string;
  status: number;
  /** Bytes of body that were read. */
  bytes: number;
  authorization: string | undefined;
  range: string | undefined;
  at: number;
}

export interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  method: string;
  url: URL;
  /** The whole repository name; its first part is the fault's. */
  repository: string;
  kind: "base" | "start" | "upload" | "blob" | "manifest" | "referrers" | "tags" | "token";
  /** Upload id, digest or tag. */
  name: string;
  state: RepositoryState;
  registry: FaultRegistry;
  /** How many requests of this method and kind the repository has had, this one included. */
  count: number;
  entry: LogEntry;
}

/** Looks at a request first; `true` when it has dealt with it. */
export type Fault = (exchange: Exchange) => boolean | Promise<boolean>;

interface RepositoryState {
  blobs: Map<string, Buffer>;
  manifests: Map<string, { type: string; bytes: Buffer }>;
  uploads: Map<string, Buffer>;
  counts: Map<string, number>;
  notes: Map<string, number>;
}

/**
 * A registry at a socket that does everything right, but for the fault that the
 * first part of a repository's name asks for. Works for any client.
 */
export class FaultRegistry {
  readonly log: LogEntry[] = [];
  readonly #faults: Record<string, Fault>;
  readonly #states = new Map<string, RepositoryState>();
  readonly #server = createServer((request, response) => void this.#handle(request, response));
  /** Bytes of bodies read, all together. */
  received = 0;

  constructor(faults: Record<string, Fault>) {
    this.#faults = faults;
  }

  async listen(port = 0): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(port, "127.0.0.1", resolve);
    await promise;
    return this;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  state(repository: string): RepositoryState {
    const found = this.#states.get(repository) ?? {
      ...{ blobs: new Map(), manifests: new Map(), uploads: new Map(), counts: new Map(), notes: new Map() },
    };
    this.#states.set(repository, found);
    return found;
  }

  /** Lets go of what a repository holds. */
  forget(repository: string): void {
    this.#states.delete(repository);
  }

  /** The requests a repository has had. */
  requests(repository: string, method?: string): LogEntry[] {
    return this.log.filter(
      (entry) => entry.path.includes(`/${repository}/`) && (method === undefined || entry.method === method),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://registry");
    const method = request.method ?? "GET";
    const entry: LogEntry = {
      ...{ method, path: url.pathname + url.search, status: 0, bytes: 0, at: performance.now() },
      authorization: request.headers.authorization,
      range: request.headers["content-range"] ?? request.headers.range,
    };
    this.log.push(entry);
    response.on("close", () => {
      entry.status = response.statusCode;
    });
    request.on("error", () => undefined);
    const match =
      /^\/v2\/(.+?)\/(?:(blobs)\/uploads\/([^/]*)|(blobs|manifests|referrers)\/([^/]+)|(tags)\/list)$/.exec(
        url.pathname,
      );
    const repository = match?.[1] ?? "";
    const kind = url.pathname === "/token" ? "token" : kindOf(match);
    const name = match?.[3] ?? match?.[5] ?? "";
    const state = this.state(repository);
    const key = `${method} ${kind}`;
    const count = (state.counts.get(key) ?? 0) + 1;
    state.counts.set(key, count);
    const exchange: Exchange = {
      request,
      response,
      method,
      url,
      repository,
      kind,
      name,
      state,
      registry: this,
      count,
      entry,
    };
    try {
      const fault = this.#faults[repository.split("/")[0] ?? ""];
      if (kind === "token") await this.#faults["token"]?.(exchange);
      else if (!(fault && (await fault(exchange)))) await serve(exchange);
    } catch {
      response.destroy();
    }
  }
}

function kindOf(match: RegExpExecArray | null): Exchange["kind"] {
  if (!match) return "base";
  if (match[2]) return match[3] ? "upload" : "start";
  if (match[6]) return "tags";
  return match[4] === "blobs" ? "blob" : match[4] === "referrers" ? "referrers" : "manifest";
}

/** The right answer. */
export async function serve(exchange: Exchange): Promise<void> {
  const { method, kind, state, name, response, url, repository } = exchange;
  if (kind === "base") return answer(exchange, 200);
  if (kind === "start") {
    const id = crypto.randomUUID();
    state.uploads.set(id, Buffer.alloc(0));
    return answer(exchange, 202, { location: `/v2/${repository}/blobs/uploads/${id}`, range: "0-0" });
  }
  if (kind === "upload") return await serveUpload(exchange);
  if (kind === "tags")
    return answer(
      exchange,
      200,
      {},
      JSON.stringify({
        name: repository,
        tags: [...state.manifests.keys()].filter((tag) => !tag.includes(":")),
      }),
    );
  if (kind === "referrers") return answer(exchange, 404);
  if (kind === "manifest" && method === "PUT") return await takeManifest(exchange);
  const found = kind === "blob" ? state.blobs.get(name) : state.manifests.get(name)?.bytes;
  if (!found)
    return answer(exchange, 404, {}, errorBody(kind === "blob" ? "BLOB_UNKNOWN" : "MANIFEST_UNKNOWN", name));
  const type = kind === "blob" ? "application/octet-stream" : (state.manifests.get(name)?.type ?? "");
  const start = /^bytes=(\d+)-/.exec(exchange.request.headers.range ?? "")?.[1];
  const from = start === undefined ? 0 : Number(start);
  const body = found.subarray(from);
  response.writeHead(start === undefined ? 200 : 206, {
    "content-type": type,
    "content-length": body.byteLength,
    "docker-content-digest": digest(found),
    ...(start === undefined
      ? {}
      : { "content-range": `bytes ${from}-${found.byteLength - 1}/${found.byteLength}` }),
  });
  response.end(method === "HEAD" ? undefined : body);
  void url;
}

async function serveUpload(exchange: Exchange): Promise<void> {
  const { method, state, name, url } = exchange;
  const held = state.uploads.get(name);
  if (!held) return answer(exchange, 404, {}, errorBody("BLOB_UPLOAD_UNKNOWN", name));
  const location = url.pathname;
  const range = (size: number) => `0-${Math.max(0, size - 1)}`;
  if (method === "GET") return answer(exchange, 204, { location, range: range(held.byteLength) });
  if (method === "DELETE") {
    state.uploads.delete(name);
    return answer(exchange, 204);
  }
  const start = /^(\d+)-\d+$/.exec(exchange.request.headers["content-range"] ?? "")?.[1];
  if (start !== undefined && Number(start) !== held.byteLength) {
    exchange.request.resume();
    return answer(exchange, 416, { location, range: range(held.byteLength) });
  }
  await readBody(exchange, (chunk) => {
    state.uploads.set(name, Buffer.concat([state.uploads.get(name) ?? Buffer.alloc(0), chunk]));
    return true;
  });
  const whole = state.uploads.get(name) ?? Buffer.alloc(0);
  if (method === "PATCH") return answer(exchange, 202, { location, range: range(whole.byteLength) });
  const wanted = url.searchParams.get("digest") ?? "";
  if (digest(whole) !== wanted) return answer(exchange, 400, {}, errorBody("DIGEST_INVALID", wanted));
  state.uploads.delete(name);
  state.blobs.set(wanted, whole);
  answer(exchange, 201, {
    location: `/v2/${exchange.repository}/blobs/${wanted}`,
    "docker-content-digest": wanted,
  });
}

export async function takeManifest(exchange: Exchange, claimed?: string): Promise<void> {
  const { state, name, request } = exchange;
  const bytes = await readAll(exchange);
  const type = request.headers["content-type"] ?? "";
  for (const missing of missingBlobs(bytes, state))
    return answer(exchange, 404, {}, errorBody("MANIFEST_BLOB_UNKNOWN", missing));
  state.manifests.set(name, { type, bytes });
  state.manifests.set(digest(bytes), { type, bytes });
  answer(exchange, 201, {
    location: exchange.url.pathname,
    "docker-content-digest": claimed ?? digest(bytes),
  });
}

function* missingBlobs(bytes: Buffer, state: RepositoryState): Generator<string> {
  const manifest = JSON.parse(bytes.toString());
  for (const { digest: wanted } of [manifest.config ?? [], manifest.layers ?? []].flat())
    if (wanted && !state.blobs.has(wanted)) yield wanted;
}

/** Reads a request's body; `take` returns false to stop reading. */
export async function readBody(exchange: Exchange, take: (chunk: Buffer) => boolean): Promise<void> {
  for await (const chunk of exchange.request) {
    const bytes: Buffer = chunk;
    exchange.entry.bytes += bytes.byteLength;
    exchange.registry.received += bytes.byteLength;
    if (!take(bytes)) return;
  }
}

export async function readAll(exchange: Exchange): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await readBody(exchange, (chunk) => chunks.push(chunk) > 0);
  return Buffer.concat(chunks);
}

export function answer(
  exchange: Exchange,
  status: number,
  headers: Record<string, string> = {},
  body = "",
): void {
  const { response, method } = exchange;
  exchange.entry.status = status;
  exchange.request.resume();
  response.writeHead(status, { "content-length": Buffer.byteLength(body), ...headers });
  response.end(method === "HEAD" ? undefined : body);
}

export function errorBody(
  code: string,
  detail: unknown,
  message = code.toLowerCase().replaceAll("_", " "),
): string {
  return JSON.stringify({ errors: [{ code, message, detail }] });
}

export function digest(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/** Ends a connection with a reset, not with a goodbye. */
export function reset(exchange: Exchange): void {
  const { socket } = exchange.request;
  if (typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
  else socket.destroy();
}
