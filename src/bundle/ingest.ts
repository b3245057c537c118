import { type ByteStream, collect, decode } from "../bytes.ts";
import { decompressed } from "../compression.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { putImage, SaveReader } from "../oci/docker-save.ts";
import { GzipPool } from "../oci/gzip-pool.ts";
import { asArchiveError, count, type Ingested, type IngestOptions, LayoutReader } from "../oci/ingest.ts";
import { REF_NAME } from "../oci/layout-store.ts";
import type { Store } from "../oci/store.ts";
import { bad, shown } from "../tar/header.ts";
import { readTar, type TarEntry } from "../tar/read.ts";

/** What an archive of any kind held: its roots, each with the names the archive gives it. */
export interface Archive {
  kind: "layout" | "docker" | "convox";
  roots: { descriptor: Descriptor; names: string[] }[];
  /** Of a layout: its index and every manifest below it. */
  layout?: Ingested;
  /** Of a Convox archive: its `build.json`, and what each archive inside it held. */
  convox?: { build: string; parts: { name: string; archive: Archive }[] };
}

const MAX_BUILD_JSON = 8 * 1024 * 1024;
const MAX_DEPTH = 2;

/**
 * Reads any archive of images from a stream that cannot seek, into a store: an OCI
 * layout, what `docker save` writes, or what a Convox rack exports (v3: one layout
 * for each service; v2: one docker archive), gzip or zstd around it or not. Which
 * it is shows only at its end. The caller tags, and holds the lease.
 */
export async function ingestArchive(
  stream: ByteStream,
  store: Store,
  options: IngestOptions = {},
): Promise<Archive> {
  using gzip = new GzipPool();
  const counted = options.onBytes ? count(stream, options.onBytes) : stream;
  return await ingest(counted, { store, options, gzip, depth: 0 });
}

interface Surroundings {
  store: Store;
  options: IngestOptions;
  gzip: GzipPool;
  depth: number;
}

async function ingest(stream: ByteStream, around: Surroundings): Promise<Archive> {
  const reader = new ArchiveReader(around);
  try {
    for await (const entry of readTar(decompressed(stream), around.options)) await reader.take(entry);
    return await reader.finish();
  } catch (error) {
    throw asArchiveError(error);
  } finally {
    await reader.settle();
  }
}

class ArchiveReader {
  readonly #around: Surroundings;
  readonly #layout: LayoutReader;
  readonly #save: SaveReader;
  readonly #parts: { name: string; archive: Archive }[] = [];
  #build: string | undefined;

  constructor(around: Surroundings) {
    this.#around = around;
    const known = new Map<Digest, Descriptor>();
    this.#layout = new LayoutReader(around.store, around.options);
    this.#save = new SaveReader(around.store, {
      gzip: around.gzip,
      known: async (diffId) => known.get(diffId),
      stored: async (diffId, layer) => void known.set(diffId, layer),
    });
  }

  async take(entry: TarEntry): Promise<void> {
    const name = entry.name.replace(/^(\.\/)+/, "");
    if (name === "build.json" && entry.type === "file") {
      this.#build = decode(await collect(entry.body, MAX_BUILD_JSON, name));
    } else if (isNested(name) && entry.type === "file") await this.#nested(name, entry);
    else if (isSaved(name)) await this.#save.take(entry);
    else await this.#layout.take(entry);
  }

  async #nested(name: string, entry: TarEntry): Promise<void> {
    if (this.#around.depth >= MAX_DEPTH)
      throw bad(`entry ${shown(entry.name)} is an archive in an archive in an archive`);
    const { onIndex: _, ...options } = this.#around.options;
    const around = { ...this.#around, options, depth: this.#around.depth + 1 };
    this.#parts.push({ name, archive: await ingest(entry.body, around) });
  }

  async settle(): Promise<void> {
    await Promise.all([this.#layout.settle(), this.#save.settle()]);
  }

  async finish(): Promise<Archive> {
    if (this.#layout.isLayout) return layoutArchive(await this.#layout.finish());
    if (this.#build !== undefined || this.#parts.length > 0) return this.#convox();
    if (this.#save.hasManifest) return await this.#docker();
    return layoutArchive(await this.#layout.finish());
  }

  #convox(): Archive {
    if (this.#build === undefined) throw bad("it has no build.json");
    if (this.#parts.length === 0) throw bad("its build.json has no images beside it");
    const roots = this.#parts.flatMap(({ archive }) => archive.roots);
    return { kind: "convox", roots, convox: { build: this.#build, parts: this.#parts } };
  }

  async #docker(): Promise<Archive> {
    const { store } = this.#around;
    const roots: Archive["roots"] = [];
    for (const { config, layers, tags } of await this.#save.images())
      roots.push({ descriptor: await putImage(store, config, layers), names: tags });
    return { kind: "docker", roots };
  }
}

/** A build's image in a Convox archive; layers of docker archives have 64 hex digits. */
function isNested(name: string): boolean {
  return /^[^/]+\.tar$/.test(name) && !/^[0-9a-f]{64}\.tar$/.test(name);
}

/** Entries of the archive `docker save` writes, and of podman's, skopeo's and crane's. */
function isSaved(name: string): boolean {
  return /^(manifest\.json|repositories|(sha256:)?[0-9a-f]{64}(\.json|\.tar|\.tar\.gz|\/.*)?)$/.test(name);
}

function layoutArchive(layout: Ingested): Archive {
  const roots = layout.index.manifests.map((entry) => {
    const { mediaType, digest, size, annotations } = entry;
    const name = annotations?.[REF_NAME];
    return { descriptor: { mediaType, digest, size }, names: name === undefined ? [] : [name] };
  });
  return { kind: "layout", roots, layout };
}

/** The only root, or the only one with a record: what a single name for the archive can mean. */
export function theOneRoot(archive: Archive, isBuild: (root: Descriptor) => boolean): Descriptor {
  const builds = archive.roots.filter(({ descriptor }) => isBuild(descriptor));
  const candidates = builds.length > 0 ? builds : archive.roots;
  const digests = new Set(candidates.map(({ descriptor }) => descriptor.digest));
  const [only] = candidates;
  if (only && digests.size === 1) return only.descriptor;
  const names = archive.roots.flatMap((root) => root.names).join(", ");
  throw new DavitError(
    "usage",
    `Cannot give the archive one tag: it holds ${digests.size} images (${names})`,
    {
      hint: "leave the tag out, and every name in the archive becomes one",
    },
  );
}
