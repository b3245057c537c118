import { type Bytes, collect } from "../bytes.ts";
import type { RateLimit } from "../http/rate-limit.ts";
import { Once } from "../once.ts";
import { bodyOf } from "../response-body.ts";
import { type Digest, digestAlgorithm, digestOf, isDigest } from "./digest.ts";
import { MAX_MANIFEST } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { type Reference, requireRef } from "./reference.ts";
import { RegistryClient, type RegistryOptions, type RegistryRequest } from "./registry-client.ts";

export const MANIFEST_TYPES = [
  mediaTypes.ociIndex,
  mediaTypes.dockerIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerManifest,
].join(", ");

export interface RepositoryOptions extends RegistryOptions {
  /** Whether anything will be pushed: the rights that are asked for. */
  push?: boolean;
  /** Repositories of the same host that blobs may be mounted from. */
  mountFrom?: readonly string[];
  rate?: RateLimit | undefined;
  /** Manifests are parts of a build to come; only a davit knows what that means. */
  staged?: boolean;
}

/** One repository of a registry: its address, its rights, and requests to it. */
export class RegistryRepository {
  readonly reference: Reference;
  readonly options: RepositoryOptions;
  readonly scope: string;
  /** `HOST/REPOSITORY`. */
  readonly name: string;
  readonly #client = new Once<RegistryClient>();
  readonly #given: Promise<RegistryClient> | undefined;

  constructor(reference: Reference, options: RepositoryOptions, client?: Promise<RegistryClient>) {
    this.reference = reference;
    this.options = options;
    this.name = `${reference.host}/${reference.repository}`;
    this.scope = `repository:${reference.repository}:${options.push ? "pull,push" : "pull"}`;
    this.#given = client;
  }

  /** The host's client, opened on first use. */
  client(): Promise<RegistryClient> {
    return this.#client.get(() => this.#given ?? RegistryClient.open(this.reference.host, this.options));
  }

  /** `path` is below the repository. Answers of other statuses are for the caller to read. */
  async send(wanted: Omit<RegistryRequest, "scope">): Promise<Response> {
    return await (await this.client()).send(this.#whole(wanted));
  }

  /** Like `send`, and whatever is not one of these statuses is an error in the registry's words. */
  async expect(wanted: Omit<RegistryRequest, "scope">, ...statuses: number[]): Promise<Response> {
    return await (await this.client()).expect(this.#whole(wanted), ...statuses);
  }

  #whole(wanted: Omit<RegistryRequest, "scope">): RegistryRequest {
    return { ...wanted, path: `/${this.reference.repository}${wanted.path}`, scope: this.scope };
  }

  /** A manifest by tag or digest, as it was sent. */
  async manifest(
    ref: string,
  ): Promise<{ bytes: Bytes; mediaType: string; digest: Digest; claimed: string | null }> {
    requireRef(ref);
    const what = `manifest ${this.name}${isDigest(ref) ? "@" : ":"}${ref}`;
    const headers = { accept: MANIFEST_TYPES };
    const wanted = {
      method: "GET",
      path: `/manifests/${ref}`,
      headers,
      what: `Cannot pull ${what}`,
    } as const;
    const response = await this.expect(wanted, 200);
    const bytes = await collect(bodyOf(response, what, this.options.signal), MAX_MANIFEST, what);
    const mediaType = response.headers.get("content-type")?.split(";")[0]?.trim() ?? "";
    return {
      bytes,
      mediaType,
      digest: digestOf(bytes, isDigest(ref) ? digestAlgorithm(ref) : "sha256"),
      claimed: response.headers.get("docker-content-digest"),
    };
  }
}
