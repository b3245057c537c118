import type { ByteStream, Bytes } from "../bytes.ts";
import { decompressed } from "../compression.ts";
import { DavitError } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, Digester, isDigest } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import type { BlobWriter } from "../oci/store.ts";
import type { ImageTarget } from "./engine.ts";
import { LoopbackRegistry } from "./loopback-registry.ts";

/** How much of every upload is read in the first round, in bytes; each round doubles it. */
const FIRST_ROUND = 1024 * 1024;
/** How long a round waits for uploads that have not begun, in milliseconds. */
const ROUND_WAIT = 40;

interface Upload {
  writer: BlobWriter;
  waiting: (() => void) | undefined;
}

/**
 * A `/v2` on loopback that an engine pushes one image into. An engine sends every
 * layer it does not remember sending here, the top one first, and most of them are
 * in the store already. So all uploads are read in rounds, a little of each: what
 * is new and small ends in the first one, and then the push can be broken off.
 */
export class PushRegistry implements AsyncDisposable {
  readonly #target: ImageTarget;
  readonly server: LoopbackRegistry;
  readonly #uploads = new Map<string, Upload>();
  readonly #wanted: Set<string>;
  readonly #complete = Promise.withResolvers<void>();
  readonly #garbage = new Garbage();
  #round = FIRST_ROUND;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `wanted` are the diff ids of the layers that the store lacks. */
  constructor(target: ImageTarget, wanted: Iterable<string>) {
    this.#target = target;
    this.#wanted = new Set(wanted);
    this.server = new LoopbackRegistry((request, url) => this.#handle(request, url));
  }

  /** Resolves when every wanted layer is in the store. */
  get complete(): Promise<void> {
    return this.#complete.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    for (const upload of this.#uploads.values()) {
      upload.waiting?.();
      await upload.writer.abort();
    }
    await this.server[Symbol.asyncDispose]();
  }

  async #handle(request: Request, { pathname, searchParams }: URL): Promise<Response> {
    const [, blob] = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(pathname) ?? [];
    if (blob && isDigest(blob)) return await this.#stat(blob);
    if (request.method === "POST" && pathname.endsWith("/blobs/uploads/")) return await this.#begin(pathname);
    const [, id] = /\/blobs\/uploads\/([0-9a-f-]{36})$/.exec(pathname) ?? [];
    if (id !== undefined && request.method === "PATCH") return await this.#receive(id, request, pathname);
    if (id !== undefined && request.method === "PUT")
      return await this.#end(id, request, searchParams.get("digest") ?? "");
    if (request.method === "PUT" && pathname.includes("/manifests/"))
      return new Response(null, { status: 201 });
    return new Response(null, { status: 404 });
  }

  async #stat(digest: Digest): Promise<Response> {
    const found = await this.#target.blob(digest, mediaTypes.ociLayerGzip);
    if (!found) return new Response(null, { status: 404 });
    return new Response(null, {
      headers: { "content-length": String(found.size), "docker-content-digest": digest },
    });
  }

  async #begin(pathname: string): Promise<Response> {
    const id = crypto.randomUUID();
    this.#uploads.set(id, { writer: await this.#target.store.writer(), waiting: undefined });
    return new Response(null, {
      status: 202,
      headers: { location: `${pathname}${id}`, "docker-upload-uuid": id, range: "0-0" },
    });
  }

  async #receive(id: string, request: Request, location: string): Promise<Response> {
    const upload = this.#uploads.get(id);
    if (!upload) return new Response(null, { status: 404 });
    await this.#read(upload, request);
    const range = `0-${Math.max(0, upload.writer.offset - 1)}`;
    return new Response(null, { status: 202, headers: { location, range, "docker-upload-uuid": id } });
  }

  async #read(upload: Upload, request: Request): Promise<void> {
    const body: ReadableStream<Bytes> | null = request.body;
    if (!body) return;
    for await (const chunk of body) {
      await upload.writer.write(chunk);
      this.#target.onBytes(chunk.byteLength);
      this.#garbage.free(chunk);
      while (upload.writer.offset >= this.#round) await this.#wait(upload);
    }
  }

  /** Waits for the next round, which begins when every upload is here. */
  #wait(upload: Upload): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    upload.waiting = resolve;
    this.#timer ??= setTimeout(() => this.#nextRound(), ROUND_WAIT);
    return promise;
  }

  #nextRound(): void {
    this.#timer = undefined;
    const uploads = [...this.#uploads.values()];
    if (uploads.some((upload) => !upload.waiting && upload.writer.offset > 0)) {
      this.#timer = setTimeout(() => this.#nextRound(), ROUND_WAIT);
      return;
    }
    this.#round *= 2;
    for (const upload of uploads) {
      upload.waiting?.();
      upload.waiting = undefined;
    }
  }

  async #end(id: string, request: Request, digest: string): Promise<Response> {
    const upload = this.#uploads.get(id);
    if (!upload || !isDigest(digest)) return new Response(null, { status: upload ? 400 : 404 });
    await this.#read(upload, request);
    this.#uploads.delete(id);
    const expected = { mediaType: mediaTypes.ociLayerGzip, digest, size: upload.writer.offset };
    const layer = await upload.writer.commit(mediaTypes.ociLayerGzip, expected);
    await this.#learn(layer);
    return new Response(null, { status: 201, headers: { "docker-content-digest": digest } });
  }

  /** What a layer is uncompressed tells which of the wanted ones it is. The config, which is not compressed, is none. */
  async #learn(layer: Descriptor): Promise<void> {
    const diffId = await diffIdOf(await this.#target.store.fetch(layer));
    if (!diffId) return;
    await this.#target.remember(diffId, layer);
    this.#wanted.delete(diffId);
    if (this.#wanted.size === 0) this.#complete.resolve();
  }
}

async function diffIdOf(stream: ByteStream): Promise<Digest | undefined> {
  const digester = new Digester();
  try {
    for await (const chunk of decompressed(stream)) digester.update(chunk);
  } catch (error) {
    if (error instanceof DavitError && error.code === "bad-archive") return undefined;
    throw error;
  }
  return digester.digest();
}
