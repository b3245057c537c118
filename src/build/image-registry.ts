import { timingSafeEqual } from "node:crypto";
import type { Server } from "bun";
import { type ByteStream, type Bytes, collect, peek, streamOf, toReadable } from "../bytes.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { MAX_MANIFEST } from "../oci/manifest.ts";
import { isManifestType } from "../oci/media-types.ts";
import { oneShot } from "../oci/store.ts";
import type { ImageTarget } from "./engine.ts";
import { ImageIntake } from "./image-intake.ts";

const UNTYPED = "application/octet-stream";
/** What the tags of layer caches end in. */
const CACHE = ".buildcache";
const OPEN_BRACE = 0x7b;

/**
 * A `/v2` on loopback that a builder pushes one image into: what the rack has already it is
 * told of, what is new goes into the store as it comes, and configs wait in memory until
 * a manifest says what they are, so that they can be looked at first.
 */
export class ImageRegistry implements AsyncDisposable {
  readonly #target: ImageTarget;
  readonly #intake: ImageIntake;
  readonly #server: Server<undefined>;
  readonly #auth: string;
  readonly #probe = crypto.randomUUID().replaceAll("-", "");
  #probing = false;
  #probed = false;
  readonly username = "davit";
  readonly password = crypto.randomUUID();

  constructor(target: ImageTarget) {
    this.#target = target;
    this.#intake = new ImageIntake(target);
    this.#auth = `Basic ${Buffer.from(`${this.username}:${this.password}`).toString("base64")}`;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: (request) => this.#handle(request).catch((error: unknown) => this.#failed(error)),
      error: () => new Response(null, { status: 500 }),
    });
  }

  /** What image names begin with to be pushed here. */
  get address(): string {
    return `127.0.0.1:${this.#server.port}`;
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

  /**
   * Whether `pull`, handed a name nobody can guess, makes a request for it arrive here.
   * Before that no password is sent anywhere, so none is asked for.
   */
  async isReachedBy(pull: (name: string) => Promise<void>): Promise<boolean> {
    this.#probing = true;
    await pull(`${this.address}/${this.#probe}`).catch(() => undefined);
    this.#probing = false;
    return this.#probed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #handle(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname.includes(this.#probe)) this.#probed = true;
    if (this.#probing) return new Response(null, { status: pathname === "/v2/" ? 200 : 404 });
    if (!this.#isAllowed(request))
      return new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="davit"' } });
    if (pathname === "/v2/")
      return new Response(null, { headers: { "docker-distribution-api-version": "registry/2.0" } });
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

  #isAllowed(request: Request): boolean {
    const given = Buffer.from(request.headers.get("authorization") ?? "");
    const expected = Buffer.from(this.#auth);
    return given.byteLength === expected.byteLength && timingSafeEqual(given, expected);
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
