import type { ByteStream } from "../bytes.ts";
import { DavitError, type ErrorCode } from "../errors.ts";
import { discard, type Method, request, type Trust, throughProxy } from "../http/request.ts";
import { isPassing, Retries } from "../http/retry.ts";
import { openSocket, type Socket, socketText } from "../http/socket.ts";
import { readStart, readText } from "../response-body.ts";
import { anyOf, trimEnd } from "../scanner.ts";
import { check, parseJson, type Static, type TSchema, Type } from "../schema.ts";

/** Where a rack is, and who we are there. */
export interface RackAddress {
  /** What it is called here. */
  name: string;
  /** Without user and password. */
  url: URL;
  username: string;
  password: string;
  trust?: Trust | undefined;
  /** A console that serves several racks is told which. */
  rack?: string | undefined;
}

export interface Wanted {
  /** A form's fields; those left undefined are not sent. */
  form?: Record<string, string | undefined>;
  query?: Record<string, string | undefined>;
  headers?: Record<string, string>;
  body?: string;
  /** Opened anew for each try. */
  stream?: () => ByteStream | Promise<ByteStream>;
  signal?: AbortSignal | undefined;
  /** How long the answer may take, in milliseconds. */
  patience?: number;
}

const MAX_ANSWER = 64 * 1024 * 1024;
/** A rack may be at work for so long before it answers, in milliseconds. */
const PATIENCE = 10 * 60 * 1000;

/** Reads `https://user:password@host/prefix`. */
export function parseRackUrl(name: string, text: string): RackAddress {
  const url = URL.canParse(text.trim()) ? new URL(text.trim()) : undefined;
  if (!url || (url.protocol !== "https:" && url.protocol !== "http:"))
    throw new DavitError(
      "usage",
      `Cannot use the address of rack ${name}: it is not like https://convox:PASSWORD@HOST`,
    );
  const { username, password } = url;
  url.username = "";
  url.password = "";
  url.pathname = trimEnd(url.pathname, anyOf("/"));
  return { name, url, username, password };
}

/** Requests to a rack over HTTP, errors in its own words. */
export class RackClient {
  readonly address: RackAddress;

  constructor(address: RackAddress) {
    this.address = address;
  }

  /** A list of a rack may be null. */
  async json<T extends TSchema>(
    schema: T,
    method: Method,
    path: string,
    wanted: Wanted = {},
  ): Promise<Static<T>> {
    const what = `the answer of rack ${this.address.name}`;
    const response = await this.call(method, path, wanted);
    const text = await readText(response, MAX_ANSWER, what, wanted.signal);
    return check(schema, parseJson(text, what, "rack"), what, "rack");
  }

  async done(method: Method, path: string, wanted: Wanted = {}): Promise<void> {
    await discard(await this.call(method, path, wanted));
  }

  /** A response of success. What only reads is tried again when the link breaks. */
  async call(method: Method, path: string, wanted: Wanted = {}): Promise<Response> {
    const retries = new Retries(wanted.signal);
    for (;;) {
      try {
        const response = await this.#send(method, path, wanted);
        if (response.status < 400) return response;
        const error = await this.#error(response);
        if (!isPassing(response.status) || method !== "GET") throw error;
        throw new DavitError("unavailable", error.message, { cause: error });
      } catch (error) {
        if (method !== "GET") throw error;
        await retries.after(error);
      }
    }
  }

  async #send(method: Method, path: string, wanted: Wanted): Promise<Response> {
    const form = wanted.form && encoded(wanted.form);
    const body = wanted.stream ? { stream: await wanted.stream() } : (wanted.body ?? form);
    return await request(this.#url(path, wanted.query), {
      method,
      headers: {
        accept: "application/json, */*",
        ...wanted.headers,
        ...(form === undefined ? {} : { "content-type": "application/x-www-form-urlencoded" }),
        ...(wanted.stream ? { "content-type": "application/octet-stream" } : {}),
        ...(this.address.rack === undefined ? {} : { rack: this.address.rack }),
      },
      ...(body === undefined ? {} : { body }),
      authorization: this.#authorization,
      signal: wanted.signal,
      trust: this.address.trust,
      patience: wanted.patience ?? PATIENCE,
    });
  }

  /** What a socket of the rack sends, until its end. */
  async *socket(path: string, signal?: AbortSignal, headers: Record<string, string> = {}): ByteStream {
    yield* socketText(await this.open(path, { signal, headers }));
  }

  /** A socket of the rack, for both to speak. */
  async open(
    path: string,
    {
      headers,
      ...options
    }: { signal: AbortSignal | undefined; headers: Record<string, string>; protocol?: string },
  ): Promise<Socket> {
    const { trust } = this.address;
    const all = { "user-agent": "davit", ...headers, authorization: this.#authorization };
    try {
      return await openSocket(this.#url(path), { ...options, headers: all, trust });
    } catch (error) {
      throw (await this.#refusal(options.signal)) ?? error;
    }
  }

  /** Asks by a plain request why a handshake was refused: a socket does not tell. Returns the error where the login is not good. */
  async #refusal(signal: AbortSignal | undefined): Promise<DavitError | undefined> {
    const answer = await this.#send("GET", "/auth", { signal }).catch(() => undefined);
    if (answer?.status === 401 || answer?.status === 429) return await this.#error(answer);
    if (answer) await discard(answer);
    return undefined;
  }

  #url(path: string, query: Wanted["query"] = {}): string {
    const { origin, pathname } = this.address.url;
    const text = encoded(query);
    return `${origin}${pathname === "/" ? "" : pathname}${path}${text === "" ? "" : `?${text}`}`;
  }

  /** As it stands in the address: so the original sends it. */
  get #authorization(): string {
    const { username, password } = this.address;
    return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  }

  async #error(response: Response): Promise<DavitError> {
    const text = (await readStart(response)).trim();
    const told = errorOf(text);
    const error =
      told.error || `rack ${this.address.name} answered ${response.status}${throughProxy(response)}`;
    const hint = told.hint ?? LOGIN_HINTS[response.status];
    return toldError({ ...told, error, ...(hint ? { hint } : {}) }, STATUSES[response.status]);
  }
}

/** What to do about a login that is not good, or may not do this. */
const LOGIN_HINTS: Record<number, string> = {
  401: "give the rack's password with --password-stdin, or a token as https://jwt:TOKEN@HOST",
  403: "`davit apps` lists the apps of this login; the rack's admin may allow more",
};

const Answer = Type.Object({
  error: Type.String(),
  code: Type.Optional(Type.String()),
  hint: Type.Optional(Type.String()),
});

function errorOf(text: string): Static<typeof Answer> {
  try {
    return check(Answer, JSON.parse(text), "an error");
  } catch {
    return { error: text.slice(0, 1000) };
  }
}

/** An error as a rack tells it. */
export function toldError({ error, code, hint }: Static<typeof Answer>, usual?: ErrorCode): DavitError {
  return new DavitError(known(code) ?? usual ?? "rack", error, hint ? { hint } : {});
}

/** Codes that a rack may tell: they mean the same here. */
const TOLD: readonly ErrorCode[] = [
  ...(["not-found", "exists", "invalid", "bad-archive", "cut-archive", "mismatch", "unsupported"] as const),
  ...(["build-failed", "denied", "conflict", "outdated", "busy", "no-space", "unavailable"] as const),
];

function known(code: string | undefined): ErrorCode | undefined {
  return TOLD.find((told) => told === code);
}

const STATUSES: Record<number, ErrorCode> = {
  400: "invalid",
  401: "denied",
  403: "denied",
  404: "not-found",
  409: "conflict",
  422: "invalid",
  501: "unsupported",
  503: "unavailable",
  507: "no-space",
};

function encoded(fields: Record<string, string | undefined>): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)))
    if (value !== undefined) params.append(name, value);
  return params.toString();
}
