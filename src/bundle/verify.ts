import type { ByteStream } from "../bytes.ts";
import { collect, drain } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, Digester, digestAlgorithm } from "../oci/digest.ts";
import type { IngestOptions } from "../oci/ingest.ts";
import { type BlobWriter, type Content, contentOf, type Store } from "../oci/store.ts";
import { type Archive, ingestArchive } from "./ingest.ts";

/** What was found in an archive that is whole and right. */
export interface Verdict {
  kind: Archive["kind"];
  roots: { digest: string; names: string[] }[];
  blobs: number;
  bytes: number;
  /** Blobs that a thin archive leaves out. */
  omitted: number;
}

/** Reads a whole archive and checks every digest and that everything named is there; nothing is kept. */
export async function verifyArchive(stream: ByteStream, options: IngestOptions = {}): Promise<Verdict> {
  const store = new CheckingStore();
  let omitted = 0;
  const onOmitted = (blobs: Descriptor[]): void => {
    omitted = blobs.length;
  };
  const archive = await ingestArchive(stream, store, { ...options, onOmitted });
  return {
    kind: archive.kind,
    roots: archive.roots.map(({ descriptor, names }) => ({ digest: descriptor.digest, names })),
    blobs: store.seen.size,
    bytes: [...store.seen.values()].reduce((sum, size) => sum + size, 0),
    omitted,
  };
}

/** Small content may be asked for again: manifests and configs. */
const KEPT = 8 * 1024 * 1024;
const KEPT_TOTAL = 64 * 1024 * 1024;

/** A store that remembers what it was shown, and hardly anything of it. */
class CheckingStore implements Store {
  readonly seen = new Map<Digest, number>();
  readonly #kept = new Map<Digest, Uint8Array<ArrayBuffer>>();
  #keptBytes = 0;

  async resolve(ref: string): Promise<Descriptor> {
    throw new DavitError("not-found", `Cannot resolve ${ref}: nothing is kept`);
  }

  async exists({ digest, size }: Descriptor): Promise<"yes" | "no"> {
    return this.seen.get(digest) === size ? "yes" : "no";
  }

  async fetch(descriptor: Descriptor): Promise<ByteStream> {
    const bytes = this.#kept.get(descriptor.digest);
    if (!bytes)
      throw new DavitError("bad-archive", `Cannot verify ${descriptor.digest}: it is too large to look into`);
    return await contentOf(bytes).open(0);
  }

  async push(descriptor: Descriptor, content: Content): Promise<void> {
    const stream = await content.open(0);
    if (descriptor.size > KEPT || this.#keptBytes > KEPT_TOTAL) await drain(stream);
    else this.keep(descriptor.digest, await collect(stream, KEPT, descriptor.digest));
    this.seen.set(descriptor.digest, descriptor.size);
  }

  keep(digest: Digest, bytes: Uint8Array<ArrayBuffer>): void {
    this.#kept.set(digest, bytes);
    this.#keptBytes += bytes.byteLength;
  }

  async writer(expected?: Descriptor): Promise<BlobWriter> {
    return new CheckingWriter(this, expected);
  }

  async tag(): Promise<void> {}

  lease<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return work(this);
  }
}

class CheckingWriter implements BlobWriter {
  readonly #store: CheckingStore;
  readonly #digester: Digester;
  offset = 0;

  constructor(store: CheckingStore, expected?: Descriptor) {
    this.#store = store;
    this.#digester = new Digester(expected ? digestAlgorithm(expected.digest) : "sha256");
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#digester.update(chunk);
    this.offset += chunk.byteLength;
  }

  async commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    const actual: Descriptor = { mediaType, digest: this.#digester.digest(), size: this.offset };
    if (expected && (expected.digest !== actual.digest || expected.size !== actual.size))
      throw new DavitError(
        "mismatch",
        `Cannot verify ${expected.digest}: got ${actual.digest} (${actual.size} bytes)`,
      );
    this.#store.seen.set(actual.digest, actual.size);
    return actual;
  }

  async abort(): Promise<void> {}
}
