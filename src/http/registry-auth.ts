import { DavitError } from "../errors.ts";
import { isLoopback, isPrivateAddress } from "../hosts.ts";
import { readStart, readText } from "../response-body.ts";
import { checkJson, Type } from "../schema.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { Credentials } from "./docker-auth.ts";
import { addressesOf, type Reach } from "./reach.ts";
import { MAX_ANSWER, request, type Trust } from "./request.ts";
import { isPassing, retryAfter } from "./retry.ts";

const Token = Type.Object({
  token: Type.Optional(Type.String()),
  access_token: Type.Optional(Type.String()),
  expires_in: Type.Optional(Type.Number()),
});
/** What a token without `expires_in` is good for, in seconds. */
const DEFAULT_LIFE = 60;

interface Grant {
  authorization: string;
  /** By `performance.now()`, in milliseconds: it is renewed a little before it ends. */
  until: number;
}

export interface AuthOptions {
  /** Asked anew at each challenge: tokens of cloud registries expire. */
  credentials(): Promise<Credentials | undefined>;
  trust?: Trust | undefined;
  signal?: AbortSignal | undefined;
  reach?: Reach | undefined;
  /** Hosts that may be sent credentials though they are private: `DAVIT_TOKEN_HOSTS`. */
  tokenHosts?: readonly string[];
}

/**
 * Answers a registry's challenges, basic and bearer, and remembers the answers by
 * scope: https://distribution.github.io/distribution/spec/auth/token/
 */
export class RegistryAuth {
  readonly #registry: URL;
  readonly #options: AuthOptions;
  readonly #grants = new Map<string, Grant>();
  #challenge: Challenge | undefined;

  constructor(registry: URL, options: AuthOptions) {
    this.#registry = registry;
    this.#options = options;
  }

  /** The header for a request of this scope; undefined while the registry has asked for none. */
  async header(scope: string): Promise<string | undefined> {
    const grant = this.#grants.get(scope) ?? this.#grants.get("");
    if (grant && performance.now() < grant.until) return grant.authorization;
    if (!this.#challenge) return undefined;
    return await this.#renew(this.#challenge, scope);
  }

  /** Takes in a 401. False when there is nothing to answer it with. */
  async challenged(response: Response, scope: string): Promise<boolean> {
    const challenges = parseChallenges(response.headers.get("www-authenticate") ?? "");
    const challenge =
      challenges.find(({ scheme }) => scheme === "bearer") ??
      challenges.find(({ scheme }) => scheme === "basic");
    if (!challenge) return false;
    this.#challenge = challenge;
    this.#grants.delete(scope);
    this.#grants.delete("");
    return (await this.#renew(challenge, scope)) !== undefined;
  }

  async #renew(challenge: Challenge, scope: string): Promise<string | undefined> {
    const credentials = await this.#options.credentials();
    if (challenge.scheme === "basic") {
      const basic = basicOf(credentials);
      if (basic) this.#grants.set("", { authorization: basic, until: Number.POSITIVE_INFINITY });
      return basic;
    }
    const grant = await this.#token(challenge, scope, credentials);
    this.#grants.set(scope, grant);
    return grant.authorization;
  }

  /** Not tried again here: the request that needs the token is tried again, and asks for it again. */
  async #token(challenge: Challenge, scope: string, credentials: Credentials | undefined): Promise<Grant> {
    const realm = await this.#realm(challenge.params["realm"] ?? "");
    const service = challenge.params["service"];
    const response = await ask(realm, service, scope, credentials, this.#options);
    return grantOf(await this.#checked(response, realm), realm);
  }

  async #checked(response: Response, realm: URL): Promise<string> {
    const { signal } = this.#options;
    if (response.status === 200)
      return await readText(response, MAX_ANSWER, `the token of ${realm.host}`, signal);
    const text = await readStart(response, signal);
    const passing = isPassing(response.status);
    throw new DavitError(
      passing ? "unavailable" : "denied",
      `Cannot get a token for ${this.#registry.host}: ${realm.host} answered ${response.status}${said(text)}`,
      passing
        ? { retryAfter: retryAfter(response) }
        : { hint: `check the login: \`davit registries login ${this.#registry.host}\`` },
    );
  }

  /**
   * A realm decides where a password goes: by https, unless the registry has none
   * itself, and never to a private address that is not the registry's own.
   */
  async #realm(text: string): Promise<URL> {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const registry = this.#registry;
    if (url && url.origin === registry.origin) return url;
    const refuse = () =>
      new DavitError(
        "denied",
        `Cannot log in to ${registry.host}: it sends credentials to ${JSON.stringify(text.slice(0, 200))}`,
        { hint: "if that is its token server, name its host in DAVIT_TOKEN_HOSTS" },
      );
    if (!url) throw refuse();
    if (url.username !== "" || url.password !== "") throw refuse();
    const schemeFits =
      url.protocol === "https:" || (url.protocol === "http:" && registry.protocol === "http:");
    if (!schemeFits) throw refuse();
    if (this.#options.tokenHosts?.includes(url.host)) return url;
    if (url.hostname === registry.hostname && !isLoopback(url.hostname)) return url;
    if (!(await isPrivate(url.hostname))) return url;
    const family = registry.hostname.split(".").slice(-2).join(".");
    const related = /[a-z]/i.test(family) && url.hostname.endsWith(`.${family}`) && !isLoopback(url.hostname);
    if (related && (await isPrivate(registry.hostname))) return url;
    throw refuse();
  }
}

function basicOf(credentials: Credentials | undefined): string | undefined {
  if (!credentials || credentials.identityToken !== undefined) return undefined;
  return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
}

async function ask(
  realm: URL,
  service: string | undefined,
  scope: string,
  credentials: Credentials | undefined,
  { trust, signal, reach }: AuthOptions,
): Promise<Response> {
  const params = new URLSearchParams();
  if (service) params.set("service", service);
  if (credentials?.identityToken !== undefined) {
    params.set("grant_type", "refresh_token");
    params.set("client_id", "davit");
    params.set("refresh_token", credentials.identityToken);
    if (scope) params.set("scope", scope);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const body = params.toString();
    return await request(realm.href, { method: "POST", headers, body, trust, signal, reach });
  }
  const url = new URL(realm);
  for (const [name, value] of params) url.searchParams.set(name, value);
  for (const one of scope.split(" ").filter((text) => text !== "")) url.searchParams.append("scope", one);
  if (credentials) url.searchParams.set("account", credentials.username);
  return await request(url.href, { authorization: basicOf(credentials), trust, signal, reach });
}

function grantOf(text: string, realm: URL): Grant {
  const answer = checkJson(Token, text, `the token of ${realm.host}`, "registry");
  const life = (answer.expires_in ?? DEFAULT_LIFE) * 1000;
  const token = answer.token ?? answer.access_token ?? "";
  return { authorization: `Bearer ${token}`, until: performance.now() + Math.max(life * 0.9, life - 30_000) };
}

function said(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim().slice(0, 500);
  return line ? `: ${line}` : "";
}

/** Whether a host is, or resolves to, an address outside the public Internet. */
async function isPrivate(hostname: string): Promise<boolean> {
  if (isLoopback(hostname)) return true;
  return (await addressesOf(hostname)).some(({ address }) => isPrivateAddress(address));
}
