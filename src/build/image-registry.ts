import { type ByteStream, type Bytes, collect, peek, streamOf, toReadable } from "../bytes.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { MAX_MANIFEST } from "../oci/manifest.ts";
import { isManifestType } from "../oci/media-types.ts";
import { oneShot } from "../oci/store.ts";
import { CACHE, type ImageTarget } from "./engine.ts";
import { ImageIntake } from "./image-intake.ts";
import { LoopbackRegistry } from "./loopback-registry.ts";

const UNTYPED = "application/octet-stream";

const OPEN_BRACE = 0x7b;

/**
 * A `/v2` on loopback that a builder pushes one image into: what the rack has already it is
 * told of, what is new goes into the store as it comes, and configs wait in memory until
 * a manifest says what they are, so that they can be looked at first.
 */
export class ImageRegistry implements AsyncDisposable {
  readonly #target: ImageTarget;
  readonly #intake: ImageIntake;
  readonly server: LoopbackRegistry;

  constructor(target: ImageTarget) {
    this.#target = target;
    this.#intake = new ImageIntake(target);
    this.server = new LoopbackRegistry((request, url) =>
      this.#handle(request, url).catch((error: unknown) => this.#failed(error)),
    );
  }

  /** Why something was not taken: the builder only hears that it was not. */
  failure: unknown;

  #failed(error: unknown): Response {
    this.failure ??= error;
    return new Response(null, { status: 400 });
  }

  /** The image that was pushed under this digest, as it is stored. */
  stored(digest: string): Descriptor | undefined {
    return this.#intake.stored(digest);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server[Symbol.asyncDispose]();
  }

  async #handle(request: Request, { pathname, searchParams }: URL): Promise<Response> {
    const [, blob] = /\/blobs\/(sha(?:256|512):[0-9a-f]+)$/.exec(pathname) ?? [];
    if (blob && isDigest(blob)) return await this.#stat(blob, request.method === "GET");
    if (request.method === "POST" && pathname.endsWith("/blobs/uploads/")) return accepted(pathname);
    if (request.method === "PUT" && /\/blobs\/uploads\/[0-9a-f-]{36}$/.test(pathname))
      return await this.#blob(request, searchParams.get("digest") ?? "");
    const [, ref] = /\/manifests\/([^/]+)$/.exec(pathname) ?? [];
    if (ref !== undefined && request.method === "PUT") return await this.#manifest(request, ref);
    if (ref !== undefined && (ref.endsWith(CACHE) || isDigest(ref))) return await this.#cache(ref);
    return new Response(null, { status: 404 });
  }

  /** The layer cache of a service, as the rack keeps it. */
  async #cache(ref: string): Promise<Response> {
    const { store } = this.#target;
    const found = await store.resolve(ref).catch(() => undefined);
    if (!found) return new Response(null, { status: 404 });
    const bytes = await collect(await store.fetch(found), MAX_MANIFEST, "a cache's manifest");
    return new Response(bytes, {
      headers: { "content-type": found.mediaType, "docker-content-digest": found.digest },
    });
  }

  async #stat(digest: Digest, whole: boolean): Promise<Response> {
    const found = this.#intake.isHeld(digest) ? undefined : await this.#target.blob(digest, UNTYPED);
    if (!found) return new Response(null, { status: 404 });
    const headers = { "docker-content-digest": digest, "content-type": UNTYPED };
    if (whole) return new Response(toReadable(await this.#target.store.fetch(found)), { headers });
    return new Response(null, { headers: { ...headers, "content-length": String(found.size) } });
  }

  async #blob(request: Request, digest: string): Promise<Response> {
    const size = Number(request.headers.get("content-length"));
    if (!isDigest(digest)) return new Response(null, { status: 400 });
    const body: ReadableStream<Bytes> | null = request.body;
    const { head, rest } = await peek(body ?? streamOf(), 1);
    const descriptor = { mediaType: UNTYPED, digest, size };
    if (head[0] === OPEN_BRACE && size <= MAX_MANIFEST) await this.#intake.hold(descriptor, rest);
    else await this.#target.store.push(descriptor, oneShot(this.#counted(rest)));
    return new Response(null, { status: 201, headers: { "docker-content-digest": digest } });
  }

  async *#counted(stream: ByteStream): AsyncGenerator<Bytes> {
    for await (const chunk of stream) {
      this.#target.onBytes(chunk.byteLength);
      yield chunk;
    }
  }

  async #manifest(request: Request, ref: string): Promise<Response> {
    const mediaType = request.headers.get("content-type") ?? "";
    const body: ReadableStream<Bytes> | null = request.body;
    if (!isManifestType(mediaType) || !body) return new Response(null, { status: 400 });
    const bytes = await collect(body, MAX_MANIFEST, "a manifest");
    const descriptor = describe(mediaType, bytes);
    const stored = await this.#intake.manifest(descriptor, bytes);
    if (ref.endsWith(CACHE)) await this.#target.store.tag(stored, ref);
    return new Response(null, { status: 201, headers: { "docker-content-digest": descriptor.digest } });
  }
}

function accepted(pathname: string): Response {
  const id = crypto.randomUUID();
  const headers = { location: `${pathname}${id}`, "docker-upload-uuid": id, range: "0-0" };
  return new Response(null, { status: 202, headers });
}
