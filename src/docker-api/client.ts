import type { TSchema } from "@sinclair/typebox";
import { type ByteStream, toReadable } from "../bytes.ts";
import { DavitError, reasonOf, systemCode } from "../errors.ts";
import { Once } from "../once.ts";
import { proxyFor } from "../proxy.ts";
import { readStart, readText } from "../response-body.ts";
import { checkJson, type Static, Type } from "../schema.ts";
import { type EngineHost, type Env, engineHost } from "./host.ts";

/** The oldest Engine API davit speaks (Docker 20.10), and the newest it knows. */
export const OLDEST_API = "1.41";
const NEWEST_API = "1.47";

/** Lists of a large engine, in bytes. */
const MAX_ANSWER = 64 * 1024 * 1024;

const EngineMessage = Type.Object({ message: Type.String() });

export interface EngineRequest {
  query?: Record<string, string | undefined>;
  headers?: Record<string, string>;
  body?: ByteStream;
  json?: unknown;
  signal?: AbortSignal;
}

/** Speaks HTTP to one Docker Engine. Nothing is sent before the first call. */
export class EngineClient {
  readonly host: EngineHost;
  readonly #version = new Once<string>();

  constructor(host: EngineHost) {
    this.host = host;
  }

  static async fromEnv(env: Env): Promise<EngineClient> {
    return new EngineClient(await engineHost(env));
  }

  /** The API version both sides speak. */
  version(): Promise<string> {
    return this.#version.get(() => this.#negotiate());
  }

  /** A call whose answer is used as it comes; statuses of 400 and more are thrown. */
  async call(method: string, path: string, request: EngineRequest = {}): Promise<Response> {
    return await this.#send(method, `/v${await this.version()}${path}`, request);
  }

  async json<T extends TSchema>(
    schema: T,
    method: string,
    path: string,
    request: EngineRequest = {},
  ): Promise<Static<T>> {
    const response = await this.call(method, path, request);
    const what = `the engine's answer to ${method} ${path}`;
    return checkJson(schema, await readText(response, MAX_ANSWER, what, request.signal), what, "engine");
  }

  async #negotiate(): Promise<string> {
    const response = await this.#send("GET", "/_ping", {});
    const theirs = response.headers.get("api-version") ?? OLDEST_API;
    if (compareVersions(theirs, OLDEST_API) < 0)
      throw new DavitError(
        "unsupported",
        `Cannot use the engine at ${this.host.name}: it speaks API ${theirs}, davit needs ${OLDEST_API}`,
        {
          hint: "update Docker to 20.10 or later",
        },
      );
    return compareVersions(theirs, NEWEST_API) < 0 ? theirs : NEWEST_API;
  }

  async #send(method: string, path: string, request: EngineRequest): Promise<Response> {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(request.query ?? {}))
      if (value !== undefined) query.append(key, value);
    const target = `${this.host.url}${path}${query.size > 0 ? `?${query}` : ""}`;
    const response = await fetch(target, this.#options(method, request)).catch((cause: unknown) => {
      throw this.#unreachable(cause);
    });
    if (response.status < 400) return response;
    throw await this.#refused(method, path, response);
  }

  #options(method: string, request: EngineRequest): BunFetchRequestInit {
    const headers: Record<string, string> = { "accept-encoding": "identity", ...request.headers };
    if (request.json !== undefined) headers["content-type"] = "application/json";
    const body = request.body
      ? toReadable(request.body)
      : request.json === undefined
        ? null
        : JSON.stringify(request.json);
    return {
      method,
      headers,
      body,
      redirect: "manual",
      timeout: false,
      decompress: false,
      ...(request.signal ? { signal: request.signal } : {}),
      // As docker reaches its engines.
      proxy: this.host.unix ? false : proxyFor(new URL(this.host.url), process.env),
      ...(this.host.unix ? { unix: this.host.unix } : {}),
      ...(this.host.tls ? { tls: this.host.tls } : {}),
    };
  }

  async #refused(method: string, path: string, response: Response): Promise<DavitError> {
    const text = (await readStart(response)).slice(0, 4096);
    let message = text.trim() || `HTTP ${response.status}`;
    try {
      message = checkJson(EngineMessage, text, "the engine's error").message;
    } catch {
      // Proxies in between answer in plain text or HTML; it is shown as it is.
    }
    const code = response.status === 404 ? "not-found" : response.status === 409 ? "conflict" : "engine";
    return new DavitError(code, `The engine refused ${method} ${path.replace(/^\/v[\d.]+/, "")}: ${message}`);
  }

  #unreachable(cause: unknown): DavitError {
    if (cause instanceof DavitError) return cause;
    if (cause instanceof Error && cause.name === "AbortError")
      return new DavitError("interrupted", "Interrupted", { cause });
    return new DavitError(
      "engine-unreachable",
      `Cannot reach a Docker Engine at ${this.host.name}: ${why(cause)}`,
      {
        cause,
        hint: "start Docker (or podman system service), or point DOCKER_HOST or a docker context at a running engine",
      },
    );
  }
}

/** Bun asks about typos where a person wants to know what was found. */
function why(cause: unknown): string {
  const code = systemCode(cause) ?? "";
  if (code === "ENOENT") return "there is no such socket";
  if (code === "EACCES") return "this user may not open it";
  if (code === "ECONNREFUSED" || code === "ConnectionRefused") return "nothing listens there";
  return reasonOf(cause);
}

/** Compares dotted numbers: negative when `a` is older. */
export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((text) => text.split(".").map(Number));
  for (let i = 0; i < 3; i++) {
    const difference = (left?.[i] ?? 0) - (right?.[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
