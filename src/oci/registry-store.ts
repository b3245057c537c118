import { type ByteStream, collect } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { type Credentials, dockerCredentials } from "../http/docker-auth.ts";
import { bodyOf, isLoopback, request } from "../http/request.ts";
import { checkJson, Type } from "../schema.ts";
import type { Descriptor } from "./descriptor.ts";
import { digestOf, isDigest, parseDigest } from "./digest.ts";
import { MAX_MANIFEST } from "./manifest.ts";
import { isManifestType, mediaTypes } from "./media-types.ts";
import { DOCKER_HUB, type Reference } from "./reference.ts";
import type { ReadStore } from "./store.ts";
import { verified } from "./verify.ts";

const MANIFEST_TYPES = [
  mediaTypes.ociIndex,
  mediaTypes.dockerIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
].join(", ");
const Token = Type.Object({
  token: Type.Optional(Type.String()),
  access_token: Type.Optional(Type.String()),
});

/** One repository of a registry, for reading: https://github.com/opencontainers/distribution-spec/blob/main/spec.md */
export class RegistryStore implements ReadStore {
  readonly #base: string;
  readonly #host: string;
  readonly #repository: string;
  readonly #env: Record<string, string | undefined>;
  #authorization: string | undefined;

  constructor(reference: Reference, env: Record<string, string | undefined>) {
    this.#host = reference.host;
    this.#repository = reference.repository;
    this.#env = env;
    const host = reference.host === DOCKER_HUB ? "registry-1.docker.io" : reference.host;
    const scheme = isLoopback(host.replace(/:\d+$/, "")) ? "http" : "https";
    this.#base = `${scheme}://${host}/v2/${reference.repository}`;
  }

  async resolve(ref: string): Promise<Descriptor> {
    const response = await this.#get(`/manifests/${ref}`, `${this.#host}/${this.#repository}:${ref}`);
    const bytes = await collect(bodyOf(response, `manifest ${ref}`), MAX_MANIFEST, `manifest ${ref}`);
    const mediaType = response.headers.get("content-type")?.split(";")[0]?.trim() ?? "";
    if (!isManifestType(mediaType))
      throw new DavitError(
        "registry",
        `Cannot use ${this.#repository}:${ref}: its type is ${JSON.stringify(mediaType)}`,
      );
    const digest = digestOf(bytes);
    const claimed = isDigest(ref) ? ref : response.headers.get("docker-content-digest");
    if (claimed !== null && parseDigest(claimed) !== digest)
      throw new DavitError(
        "mismatch",
        `Cannot use ${this.#repository}:${ref}: ${this.#host} says ${claimed}, its bytes are ${digest}`,
      );
    return { mediaType, digest, size: bytes.byteLength };
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no" | "unknown"> {
    const kind = isManifestType(descriptor.mediaType) ? "manifests" : "blobs";
    const response = await this.#send("HEAD", `/${kind}/${descriptor.digest}`);
    if (response.status === 404) return "no";
    return response.status === 200 ? "yes" : "unknown";
  }

  async fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    const kind = isManifestType(descriptor.mediaType) ? "manifests" : "blobs";
    const response = await this.#get(`/${kind}/${descriptor.digest}`, descriptor.digest, from);
    const body = bodyOf(response, descriptor.digest);
    return from === 0 ? verified(body, descriptor) : body;
  }

  async #get(path: string, what: string, from = 0): Promise<Response> {
    const response = await this.#send("GET", path, from);
    if (response.status === (from > 0 ? 206 : 200)) return response;
    const text = (await response.text()).trim().slice(0, 500);
    const code =
      response.status === 404
        ? "not-found"
        : response.status === 401 || response.status === 403
          ? "denied"
          : "registry";
    throw new DavitError(
      code,
      `Cannot pull ${what}: ${this.#host} answered ${response.status}${text ? `: ${text}` : ""}`,
      {
        ...(code === "denied" ? { hint: `log in with \`docker login ${this.#host}\`` } : {}),
      },
    );
  }

  async #send(method: "GET" | "HEAD", path: string, from = 0): Promise<Response> {
    const headers = { accept: MANIFEST_TYPES, ...(from > 0 ? { range: `bytes=${from}-` } : {}) };
    const send = () => request(this.#base + path, { method, headers, authorization: this.#authorization });
    const first = await send();
    if (first.status !== 401) return first;
    const challenge = first.headers.get("www-authenticate") ?? "";
    await first.body?.cancel();
    this.#authorization = await this.#answer(challenge);
    return await send();
  }

  async #answer(challenge: string): Promise<string | undefined> {
    const credentials = await dockerCredentials(this.#host, this.#env);
    const basic =
      credentials &&
      `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString("base64")}`;
    if (!/^bearer /i.test(challenge)) return basic;
    return `Bearer ${await this.#token(challenge, basic, credentials)}`;
  }

  /** https://distribution.github.io/distribution/spec/auth/token/ */
  async #token(
    challenge: string,
    basic: string | undefined,
    credentials: Credentials | undefined,
  ): Promise<string> {
    const fields = Object.fromEntries(
      [...challenge.matchAll(/(\w+)="([^"]*)"/g)].map((match) => [match[1], match[2]]),
    );
    const realm = this.#realm(fields["realm"] ?? "");
    if (fields["service"]) realm.searchParams.set("service", fields["service"]);
    realm.searchParams.set("scope", `repository:${this.#repository}:pull`);
    if (credentials) realm.searchParams.set("account", credentials.username);
    const response = await request(realm.href, { authorization: basic });
    const text = await response.text();
    if (response.status !== 200)
      throw new DavitError(
        "denied",
        `Cannot get a token for ${this.#host}: ${realm.host} answered ${response.status}`,
      );
    const { token, access_token } = checkJson(Token, text, `the token of ${realm.host}`, "registry");
    return token ?? access_token ?? "";
  }

  /** A realm decides where a password goes: never to this machine or by plain http, unless the registry is there too. */
  #realm(text: string): URL {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const registry = new URL(this.#base);
    const same = url?.hostname === registry.hostname && url.protocol === registry.protocol;
    if (!url || (!same && (url.protocol !== "https:" || isPrivate(url.hostname))))
      throw new DavitError(
        "denied",
        `Cannot log in to ${this.#host}: it sends credentials to ${JSON.stringify(text.slice(0, 200))}`,
      );
    return url;
  }
}

function isPrivate(hostname: string): boolean {
  return isLoopback(hostname) || /^(10|192\.168|169\.254|172\.(1[6-9]|2\d|3[01]))\.|^\[|^0\./.test(hostname);
}
