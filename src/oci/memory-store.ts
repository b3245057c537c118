import { type ByteStream, type Bytes, collect, concat, streamOf } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, digestOf } from "./digest.ts";
import type { BlobWriter, Content, Store } from "./store.ts";
import { verified } from "./verify.ts";

/** A store in memory, for tests and for small graphs on their way elsewhere. */
export class MemoryStore implements Store {
  readonly blobs = new Map<Digest, Bytes>();
  readonly tags = new Map<string, Descriptor>();

  async resolve(ref: string): Promise<Descriptor> {
    const found = this.tags.get(ref);
    if (!found) throw new DavitError("not-found", `Cannot resolve ${JSON.stringify(ref)}: no such tag`);
    return found;
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no"> {
    return this.blobs.get(descriptor.digest)?.byteLength === descriptor.size ? "yes" : "no";
  }

  async fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    const bytes = this.blobs.get(descriptor.digest);
    if (!bytes) throw new DavitError("not-found", `Cannot read ${descriptor.digest}: it is not in the store`);
    return from === 0 ? verified(streamOf(bytes), descriptor) : streamOf(bytes.subarray(from));
  }

  async push(descriptor: Descriptor, content: Content): Promise<void> {
    if ((await this.exists(descriptor)) === "yes") return;
    const bytes = await collect(
      verified(await content.open(0), descriptor),
      descriptor.size,
      descriptor.digest,
    );
    this.blobs.set(descriptor.digest, bytes);
  }

  async writer(): Promise<BlobWriter> {
    return new MemoryWriter(this);
  }

  async tag(descriptor: Descriptor, ref: string): Promise<void> {
    if ((await this.exists(descriptor)) !== "yes")
      throw new DavitError("not-found", `Cannot tag ${descriptor.digest}: it is not in the store`);
    this.tags.set(ref, descriptor);
  }

  lease<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return work(this);
  }
}

class MemoryWriter implements BlobWriter {
  readonly #store: MemoryStore;
  #chunks: Bytes[] = [];
  offset = 0;

  constructor(store: MemoryStore) {
    this.#store = store;
  }

  async write(chunk: Bytes): Promise<void> {
    this.#chunks.push(chunk.slice());
    this.offset += chunk.byteLength;
  }

  async commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    const bytes = concat(this.#chunks);
    const actual = { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
    if (expected && (expected.digest !== actual.digest || expected.size !== actual.size))
      throw new DavitError("mismatch", `Cannot store ${expected.digest}: got ${actual.digest}`);
    this.#store.blobs.set(actual.digest, bytes);
    return actual;
  }

  async abort(): Promise<void> {
    this.#chunks = [];
  }
}
