import { type ByteStream, type Bytes, encode, streamOf } from "../bytes.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestAlgorithm, digestHex } from "../oci/digest.ts";
import { OMITTED } from "../oci/ingest.ts";
import { LAYOUT_FILE } from "../oci/layout-store.ts";
import { renderManifest } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { hasUnverified, type ReadStore } from "../oci/store.ts";
import { type NewEntry, writeTar } from "../tar/write.ts";
import type { Graph } from "./graph.ts";

const BLOCK = 512;
const END = 2 * BLOCK;
const LARGEST_USTAR = 8_589_934_591;

/** One entry, its size known before it is opened. */
export interface PlannedEntry {
  name: string;
  size: number;
  open(): Promise<ByteStream>;
  /** The same unverified, and the digest it must have. */
  unverified?: { digest: Digest; open(): Promise<ByteStream> };
}

/** What the classic `docker load` reads in `manifest.json`. */
export interface DockerEntry {
  tag: string;
  image: Descriptor;
}

export interface ArchiveContent {
  /** The entries of `index.json`. */
  index: Descriptor[];
  docker: DockerEntry[];
  /** Blobs that the reader has already: they are named and left out. */
  omit?: ReadonlySet<string>;
}

/** A whole archive before its first byte. */
export interface ArchivePlan {
  /** In bytes, of the whole tar. */
  size: number;
  /** Bytes of the blobs that are left out. */
  omitted: number;
  entries: PlannedEntry[];
}

/**
 * An OCI layout as a tar, in plan order: `oci-layout`, `index.json`, docker's
 * `manifest.json`, every manifest and config, then the layers; each blob once. A
 * reader knows the graph before the first layer arrives, and the same content
 * always gives the same bytes.
 */
export function planArchive(store: ReadStore, graph: Graph, content: ArchiveContent): ArchivePlan {
  const { omit = new Set<string>() } = content;
  const blobs = [...graph.configs, ...graph.layers];
  const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: content.index };
  const left = blobs.filter(({ digest }) => omit.has(digest));
  const second = left.length > 0 ? omitted(left) : dockerManifest(graph, content.docker);
  const entries: PlannedEntry[] = [
    inline("oci-layout", encode(LAYOUT_FILE)),
    inline("index.json", renderManifest(index)),
    ...(second ? [second] : []),
    ...graph.manifests.map(([digest, bytes]) => inline(blobPath(digest), bytes)),
    ...blobs.filter(({ digest }) => !omit.has(digest)).map((blob) => blobEntry(store, blob)),
  ];
  return {
    size: entries.reduce((sum, entry) => sum + tarSize(entry.size), END),
    omitted: left.reduce((sum, { size }) => sum + size, 0),
    entries,
  };
}

export function streamPlan({ entries }: ArchivePlan): AsyncGenerator<Bytes> {
  return writeTar(entries.map(tarEntry));
}

export function tarEntry(entry: PlannedEntry): NewEntry {
  return { name: entry.name, type: "file", size: entry.size, body: () => entry.open() };
}

function blobEntry(store: ReadStore, blob: Descriptor): PlannedEntry {
  const entry = { name: blobPath(blob.digest), size: blob.size, open: () => store.fetch(blob) };
  if (!hasUnverified(store)) return entry;
  return { ...entry, unverified: { digest: blob.digest, open: () => store.fetchUnverified(blob) } };
}

function omitted(blobs: Descriptor[]): PlannedEntry {
  const list = blobs
    .map(({ mediaType, digest, size }) => ({ mediaType, digest, size }))
    .sort((a, b) => (a.digest < b.digest ? -1 : 1));
  return inline(OMITTED, encode(JSON.stringify({ omitted: list })));
}

function dockerManifest(graph: Graph, docker: DockerEntry[]): PlannedEntry | undefined {
  const images = docker.flatMap(({ tag, image }) => {
    const manifest = graph.image(image);
    if (!manifest) return [];
    const layers = manifest.layers.map((layer) => blobPath(layer.digest));
    return [{ Config: blobPath(manifest.config.digest), RepoTags: [tag], Layers: layers }];
  });
  return images.length > 0 ? inline("manifest.json", encode(JSON.stringify(images))) : undefined;
}

function inline(name: string, bytes: Bytes): PlannedEntry {
  return { name, size: bytes.byteLength, open: async () => streamOf(bytes) };
}

export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

/** A header, one more header and its record where the size needs it, and the body in whole blocks. */
export function tarSize(size: number): number {
  const extended = size > LARGEST_USTAR ? 2 * BLOCK : 0;
  return BLOCK + extended + Math.ceil(size / BLOCK) * BLOCK;
}
