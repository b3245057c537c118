import { type ByteStream, type Bytes, collect, decode, drain, peek } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { checkJson, Type } from "../schema.ts";
import { decodeStrict } from "../strict-json.ts";
import { bad, shown } from "../tar/header.ts";
import type { TarEntry } from "../tar/read.ts";
import { blobDigest, checkedName } from "./archive-names.ts";
import { type Descriptor, parseDescriptor, WireDescriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import {
  children,
  type ImageIndex,
  type ImageManifest,
  MAX_MANIFEST,
  type Manifest,
  parseLayoutIndex,
  parseManifest,
} from "./manifest.ts";
import { isManifestType, mediaTypes } from "./media-types.ts";
import { contentOf, type Store } from "./store.ts";
import { verified } from "./verify.ts";

export interface IngestOptions {
  onWarning?: (text: string) => void;
  /** Told of the index as soon as it is read: it may refuse. */
  onIndex?: (index: ImageIndex) => void;
  /** Takes what a thin archive leaves out at its word; without it, all of that must be in the store. */
  onOmitted?: (blobs: Descriptor[]) => void;
  /** Told as bytes of the archive are read. */
  onBytes?: (bytes: number) => void;
}

/** What an archive held: its index, and every manifest below it, children before parents. */
export interface Ingested {
  index: ImageIndex;
  manifests: Map<Digest, { descriptor: Descriptor; bytes: Bytes; manifest: Manifest }>;
}

/** JSON entries are kept in memory up to this size, and this much in all; larger ones go to the store and are read back. */
const MAX_HELD = 4 * 1024 * 1024;
const MAX_HELD_TOTAL = 32 * 1024 * 1024;
const MAX_CONFIG = 8 * 1024 * 1024;
const MAX_DEPTH = 8;
/** Finished blobs that may wait for the disk at once, while the next one is being read. */
const MAX_COMMITS = 4;
const OPEN_BRACE = 0x7b;
const UNTYPED = "application/octet-stream";
/** The entry of a thin archive that names what it leaves out. */
export const OMITTED = "omitted.json";
const Omitted = Type.Object({ omitted: Type.Array(WireDescriptor, { maxItems: 1_000_000 }) });

/** What is wrong with a manifest or a digest is here what is wrong with the archive. */
export function asArchiveError(error: unknown): unknown {
  if (!hasCode(error, "invalid", "mismatch")) return error;
  return new DavitError("bad-archive", error.message, {
    cause: error,
    ...(error.hint ? { hint: error.hint } : {}),
  });
}

export async function* count(stream: ByteStream, onBytes: (bytes: number) => void): AsyncGenerator<Bytes> {
  for await (const chunk of stream) {
    onBytes(chunk.byteLength);
    yield chunk;
  }
}

/**
 * Takes the entries of an OCI image layout one by one: blobs as they come, whatever
 * their order, and in the end the manifests, children first. Names are only
 * compared, never used as paths. The caller tags, and holds the lease.
 */
export class LayoutReader {
  readonly #store: Store;
  readonly #options: IngestOptions;
  readonly #files = new Map<string, string>();
  readonly #held = new Map<Digest, Bytes>();
  readonly #stored = new Map<Digest, number>();
  readonly #commits = new Set<Promise<void>>();
  readonly #manifests: Ingested["manifests"] = new Map();
  #heldBytes = 0;
  #known: Set<Digest> | undefined;
  #unused = 0;
  #failure: unknown;

  constructor(store: Store, options: IngestOptions) {
    this.#store = store;
    this.#options = options;
  }

  async take(entry: TarEntry): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const name = checkedName(entry);
    if (entry.type === "directory") return;
    if (name === "oci-layout" || name === "index.json") return await this.#file(name, entry);
    if (name === OMITTED) return await this.#checkBase(entry);
    const digest = blobDigest(name);
    if (digest)
      await this.#blob(digest, entry).catch((error: unknown) => {
        throw namedError(error, entry.name);
      });
  }

  async #file(name: string, entry: TarEntry): Promise<void> {
    const text = decodeStrict(await collect(entry.body, MAX_MANIFEST, name), name, "bad-archive");
    const before = this.#files.get(name);
    if (before !== undefined && before !== text) throw bad(`${name} is in it twice, with different content`);
    this.#files.set(name, text);
    if (name === "index.json") this.#options.onIndex?.(parseLayoutIndex(text, name));
  }

  /** Whether it is a layout, or begins as one. */
  get isLayout(): boolean {
    return this.#files.size > 0;
  }

  /** Content that was read and is in the store, or at hand. */
  async bytes(digest: Digest, size: number, limit: number): Promise<Bytes> {
    return await this.#bytes({ mediaType: UNTYPED, digest, size }, limit);
  }

  /** A thin archive names what it left out: all of that must be here before anything is written. */
  async #checkBase(entry: TarEntry): Promise<void> {
    const text = decode(await collect(entry.body, MAX_HELD_TOTAL, OMITTED));
    const { omitted } = checkJson(Omitted, text, OMITTED, "bad-archive");
    const blobs = omitted.map(parseDescriptor);
    if (this.#options.onOmitted) {
      this.#options.onOmitted(blobs);
      for (const { digest, size } of blobs) this.#stored.set(digest, size);
      return;
    }
    const missing: Descriptor[] = [];
    for (const blob of blobs) {
      if ((await this.#store.exists(blob)) !== "yes") missing.push(blob);
    }
    if (missing.length === 0) return;
    throw new DavitError(
      "conflict",
      `Cannot import the archive: it leaves out ${omitted.length} blobs, and ${missing.length} of them are not here (${missing[0]?.digest})`,
      { hint: "import the build it is based on first, or export without --since and --have" },
    );
  }

  async #blob(digest: Digest, entry: TarEntry): Promise<void> {
    const descriptor = { mediaType: UNTYPED, digest, size: entry.size };
    const { head, rest: body } = await peek(entry.body, 1);
    if (head[0] === OPEN_BRACE && entry.size <= MAX_HELD && this.#heldBytes + entry.size <= MAX_HELD_TOTAL) {
      this.#heldBytes += entry.size;
      this.#held.set(digest, await collect(verified(body, descriptor), MAX_HELD, digest));
    } else if (this.#isUnused(digest)) {
      this.#unused++;
    } else if (this.#stored.has(digest) || (await this.#store.exists(descriptor)) === "yes") {
      await drain(verified(body, descriptor));
      this.#stored.set(digest, entry.size);
    } else await this.#write(descriptor, body, entry.name);
  }

  /** Writes a blob; its fsync may still be under way when the next entry is read. */
  async #write(descriptor: Descriptor, body: ByteStream, name: string): Promise<void> {
    const writer = await this.#store.writer(descriptor);
    try {
      for await (const chunk of body) await writer.write(chunk);
    } catch (error) {
      await writer.abort();
      throw error;
    }
    const commit = writer.commit(descriptor.mediaType, descriptor).then(
      () => {
        this.#stored.set(descriptor.digest, descriptor.size);
      },
      (error: unknown) => {
        this.#failure ??= namedError(error, name);
      },
    );
    this.#commits.add(commit);
    void commit.finally(() => this.#commits.delete(commit));
    if (this.#commits.size >= MAX_COMMITS) await Promise.race(this.#commits);
  }

  /** In plan order the whole graph is known before the first layer: what it does not name is not stored. */
  #isUnused(digest: Digest): boolean {
    const plan = this.#plan();
    return plan !== undefined && !plan.has(digest);
  }

  #plan(): Set<Digest> | undefined {
    if (this.#known) return this.#known;
    const index = this.#files.get("index.json");
    if (index === undefined) return undefined;
    const known = new Set<Digest>();
    const pending = [...parseLayoutIndex(index, "index.json").manifests];
    for (let node = pending.pop(); node; node = pending.pop()) {
      if (known.has(node.digest)) continue;
      known.add(node.digest);
      if (!isManifestType(node.mediaType)) continue;
      const bytes = this.#held.get(node.digest);
      if (!bytes) return undefined;
      pending.push(...children(parseManifest(bytes, node)));
    }
    this.#known = known;
    return known;
  }

  async settle(): Promise<void> {
    await Promise.all(this.#commits);
  }

  async finish(): Promise<Ingested> {
    await this.settle();
    if (this.#failure !== undefined) throw this.#failure;
    const text = this.#files.get("index.json");
    if (text === undefined) throw bad("it has no index.json");
    checkVersion(this.#files.get("oci-layout"));
    const index = parseLayoutIndex(text, "index.json");
    for (const node of index.manifests) await this.#node(node, 0);
    if (this.#unused > 0)
      this.#options.onWarning?.(
        `the archive holds ${this.#unused} blobs that nothing refers to; they were left out`,
      );
    return { index, manifests: this.#manifests };
  }

  async #node(node: Descriptor, depth: number): Promise<void> {
    if (this.#manifests.has(node.digest))
      return this.#sameSize(node, this.#manifests.get(node.digest)?.bytes.byteLength);
    if (!isManifestType(node.mediaType)) return await this.#leaf(node);
    if (depth > MAX_DEPTH) throw bad(`indexes are nested deeper than ${MAX_DEPTH}`);
    const bytes = await this.#bytes(node, MAX_MANIFEST);
    const manifest = parseManifest(bytes, node);
    for (const child of children(manifest)) await this.#node(child, depth + 1);
    if (manifest.kind === "image") await this.#checkConfig(manifest, node);
    await this.#store.push(node, contentOf(bytes));
    this.#manifests.set(node.digest, { descriptor: node, bytes, manifest });
  }

  async #leaf(node: Descriptor): Promise<void> {
    const held = this.#held.get(node.digest);
    if (held) {
      this.#sameSize(node, held.byteLength);
      return await this.#store.push(node, contentOf(held));
    }
    const size = this.#stored.get(node.digest);
    if (size !== undefined) return this.#sameSize(node, size);
    if ((await this.#store.exists(node)) !== "yes") throw bad(`${node.digest} is named in it, and missing`);
  }

  async #bytes(node: Descriptor, limit: number): Promise<Bytes> {
    const held = this.#held.get(node.digest);
    if (held) {
      this.#sameSize(node, held.byteLength);
      return held;
    }
    if (node.size > limit) throw bad(`${node.digest} is larger than ${limit} bytes`);
    await this.#leaf(node);
    return await collect(await this.#store.fetch(node), limit, node.digest);
  }

  #sameSize(node: Descriptor, actual: number | undefined): void {
    if (actual !== node.size) throw bad(`${node.digest} has ${actual} bytes where ${node.size} are promised`);
  }

  /** Config and manifest must agree on how many layers there are. */
  async #checkConfig(manifest: ImageManifest, node: Descriptor): Promise<void> {
    const type = manifest.config.mediaType;
    if (type !== mediaTypes.ociConfig && type !== mediaTypes.dockerConfig) return;
    const text = decode(await this.#bytes(manifest.config, MAX_CONFIG));
    const config = checkJson(Config, text, `config ${manifest.config.digest}`, "bad-archive");
    const named = config.rootfs?.diff_ids.length ?? 0;
    if (named !== manifest.layers.length)
      throw bad(`image ${node.digest} has ${manifest.layers.length} layers, its config names ${named}`);
  }
}

const Config = Type.Object({ rootfs: Type.Optional(Type.Object({ diff_ids: Type.Array(Type.String()) })) });
const Version = Type.Object({ imageLayoutVersion: Type.String() });

function checkVersion(text: string | undefined): void {
  if (text === undefined) throw bad("it has no oci-layout file");
  const { imageLayoutVersion } = checkJson(Version, text, "oci-layout", "bad-archive");
  if (imageLayoutVersion !== "1.0.0")
    throw bad(`its layout version is ${shown(imageLayoutVersion)}, and only 1.0.0 is known`);
}

/** Says which entry was the wrong one. */
function namedError(error: unknown, name: string): unknown {
  if (!hasCode(error, "mismatch")) return error;
  return new DavitError("bad-archive", `Cannot read the archive: entry ${shown(name)}: ${error.message}`, {
    cause: error,
    ...(error.hint ? { hint: error.hint } : {}),
  });
}
