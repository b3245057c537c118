import type { Bytes } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { isLoopback } from "../hosts.ts";
import { registryCredentials } from "../http/credentials.ts";
import type { Credentials, Env } from "../http/docker-auth.ts";
import { listed, trustOf } from "../http/host-trust.ts";
import type { RateLimit } from "../http/rate-limit.ts";
import type { Reach } from "../http/reach.ts";
import { RegistryAuth } from "../http/registry-auth.ts";
import { discard, type Method, request, type Trust } from "../http/request.ts";
import type { StreamBody } from "../http/request-body.ts";
import { isPassing, Outage, Retries } from "../http/retry.ts";
import { DOCKER_HUB } from "./reference.ts";
import { registryError } from "./registry-error.ts";
import { RegistryProfile } from "./registry-profile.ts";

export interface RegistryOptions {
  env: Env;
  signal?: AbortSignal | undefined;
  rate?: RateLimit | undefined;
  /** Where profiles and uploads under way are kept; undefined keeps nothing. */
  state?: string | undefined;
  /** In place of what docker's settings and the cloud say; a function is asked at each login. */
  credentials?: Credentials | (() => Promise<Credentials | undefined>) | undefined;
  /** In place of what certificate directories say. */
  trust?: Trust | undefined;
  /** Only there; undefined is anywhere. */
  reach?: Reach | undefined;
  /** Told of what a user may want to know: a resumed upload, a registry that lies about its own address. */
  onNote?: ((text: string) => void) | undefined;
}

export interface RegistryRequest {
  method: Method;
  /** A path below `/v2/`, or a whole address at this registry. */
  path: string;
  /** The rights it needs: https://distribution.github.io/distribution/spec/auth/scope/ */
  scope: string;
  headers?: Record<string, string>;
  /** A function opens a fresh stream for each try. */
  body?: string | Bytes | (() => Promise<StreamBody>);
  /** What is being done, for errors: "Cannot push …". */
  what: string;
  patience?: number;
  /** False: the caller looks after failures itself. */
  retry?: boolean;
  /** In place of the client's. */
  signal?: AbortSignal;
  /** On a connection of its own. */
  alone?: boolean;
}

/** Answers to one 401 after another; with more, the registry takes none. */
const MAX_LOGINS = 2;

/** One registry host: where it is, how to log in, what it was seen to do. Shared by its repositories. */
export class RegistryClient {
  readonly host: string;
  readonly origin: string;
  readonly profile: RegistryProfile;
  readonly options: RegistryOptions;
  readonly #auth: RegistryAuth;
  readonly #trust: Trust;
  readonly #outage = new Outage();

  private constructor(
    host: string,
    origin: string,
    trust: Trust,
    profile: RegistryProfile,
    options: RegistryOptions,
  ) {
    this.host = host;
    this.origin = origin;
    this.profile = profile;
    this.options = options;
    this.#trust = trust;
    this.#auth = new RegistryAuth(new URL(origin), {
      credentials: async () => {
        const { credentials } = options;
        if (typeof credentials === "function") return await credentials();
        return credentials ?? (await registryCredentials(host, options));
      },
      trust,
      signal: options.signal,
      reach: options.reach,
      tokenHosts: listed(options.env["DAVIT_TOKEN_HOSTS"]),
    });
  }

  static async open(host: string, options: RegistryOptions): Promise<RegistryClient> {
    const [trust, profile] = await Promise.all([
      options.trust ?? trustOf(host, options.env),
      RegistryProfile.open(host, options.state === undefined ? undefined : `${options.state}/registries`),
    ]);
    const address = host === DOCKER_HUB ? "registry-1.docker.io" : host;
    const scheme = await schemeOf(address, trust, options);
    return new RegistryClient(host, `${scheme}://${address}`, trust, profile, options);
  }

  /** Sends a request, logs in when asked to, and tries again what may pass. Any other answer is returned. */
  async send(wanted: RegistryRequest): Promise<Response> {
    const retries = this.retries();
    for (;;) {
      try {
        const response = await this.#loggedIn(wanted);
        if (!isPassing(response.status) && response.status !== 401) this.#outage.answered();
        if (!isPassing(response.status) || wanted.retry === false) return response;
        throw await registryError(wanted.what, this.host, response, wanted.scope);
      } catch (error) {
        if (wanted.retry === false) throw error;
        await retries.after(error);
      }
    }
  }

  /** Tries of one piece of work; all those of a host know when it is down. */
  retries(): Retries {
    return new Retries(this.options.signal, this.#outage);
  }

  async #loggedIn(wanted: RegistryRequest): Promise<Response> {
    for (let logins = 0; ; logins++) {
      const response = await this.#once(wanted);
      if (response.status !== 401 || logins === MAX_LOGINS) return response;
      if (!(await this.#auth.challenged(response, wanted.scope))) return response;
      await discard(response);
    }
  }

  /** Like `send`, and whatever is not one of these statuses is an error in the registry's words. */
  async expect(wanted: RegistryRequest, ...statuses: number[]): Promise<Response> {
    const response = await this.send(wanted);
    if (statuses.includes(response.status)) return response;
    throw await registryError(wanted.what, this.host, response, wanted.scope);
  }

  async #once(wanted: RegistryRequest): Promise<Response> {
    const authorization = await this.#auth.header(wanted.scope);
    const { body } = wanted;
    return await request(this.#address(wanted.path), {
      method: wanted.method,
      ...(wanted.headers ? { headers: wanted.headers } : {}),
      ...(body === undefined ? {} : { body: typeof body === "function" ? await body() : body }),
      ...(wanted.patience === undefined ? {} : { patience: wanted.patience }),
      ...(wanted.alone ? { alone: true } : {}),
      authorization,
      signal: wanted.signal ?? this.options.signal,
      reach: this.options.reach,
      trust: this.#trust,
    });
  }

  #address(path: string): string {
    return path.startsWith("/") ? `${this.origin}/v2${path}` : path;
  }

  /**
   * Where an upload goes on. A registry behind a proxy may give its address with
   * another scheme or port: ours is right, for it has just answered. Another
   * host is not followed.
   */
  async location(response: Response, asked: string, what: string): Promise<string> {
    const text = response.headers.get("location");
    if (!text)
      throw new DavitError(
        "registry",
        `${what}: ${this.host} answered ${response.status} without a Location header`,
      );
    if (!URL.canParse(text, this.#address(asked)))
      throw new DavitError(
        "registry",
        `${what}: ${this.host} gave ${JSON.stringify(text.slice(0, 200))} as Location`,
      );
    const url = new URL(text, this.#address(asked));
    const ours = new URL(this.origin);
    if (url.origin !== ours.origin) await this.#rewritten(url, ours, what);
    else await this.profile.learn({ location: /^https?:/.test(text) ? "same" : "relative" });
    return `${this.origin}${url.pathname}${url.search}`;
  }

  async #rewritten(url: URL, ours: URL, what: string): Promise<void> {
    if (url.hostname !== ours.hostname)
      throw new DavitError(
        "denied",
        `${what}: ${this.host} wants the upload sent to another host, ${url.host}`,
        { hint: "push to that host by its own name if it is the right one" },
      );
    if (this.profile.seen.location !== "rewritten")
      this.options.onNote?.(
        `${this.host} calls itself ${url.origin} in its Location headers; going on with ${this.origin}`,
      );
    await this.profile.learn({ location: "rewritten" });
  }
}

/** https, or http where that was asked for; on loopback whichever of the two answers. */
async function schemeOf(address: string, trust: Trust, { signal, reach }: RegistryOptions): Promise<string> {
  if (trust.plainHttp) return "http";
  if (!isLoopback(address.replace(/:\d+$/, ""))) return "https";
  if (trust.tls) return "https";
  try {
    const response = await request(`http://${address}/v2/`, { signal, reach });
    await discard(response);
    return response.status === 400 ? "https" : "http";
  } catch (error) {
    if (hasCode(error, "interrupted", "denied")) throw error;
    return "http";
  }
}
