import { type ByteStream, type Bytes, encode, streamOf } from "../bytes.ts";
import { readManifest } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestAlgorithm, digestHex } from "../oci/digest.ts";
import { LAYOUT_FILE, REF_NAME } from "../oci/layout-store.ts";
import { children, type ImageManifest, renderManifest } from "../oci/manifest.ts";
import { isManifestType, mediaTypes } from "../oci/media-types.ts";
import type { ReadStore } from "../oci/store.ts";
import { type NewEntry, writeTar } from "../tar/write.ts";

/** A build to be written: the names its index and images go by. */
export interface BundleBuild {
  id: string;
  index: Descriptor;
  /** By service name. */
  images: Map<string, Descriptor>;
  /** What image names begin with: `<rack>/<app>`. */
  prefix: string;
}

/** containerd and docker read an image's name here. */
const CONTAINERD_NAME = "io.containerd.image.name";
const BLOCK = 512;
const END = 2 * BLOCK;
const LARGEST_USTAR = 8_589_934_591;

interface Planned {
  name: string;
  size: number;
  open(): Promise<ByteStream>;
}

/**
 * Plans the whole archive before its first byte: `oci-layout`, `index.json`,
 * docker's `manifest.json`, every manifest and config, then the layers; each blob
 * once. A reader knows the graph before the first layer arrives, and the same
 * build always gives the same bytes.
 */
export async function makeBundle(
  store: ReadStore,
  build: BundleBuild,
): Promise<{ size: number; stream: ByteStream }> {
  const graph = new Graph(store);
  await graph.add(build.index);
  const services = [...build.images].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [, image] of services) await graph.add(image);
  const docker = services.map(([service, image]) =>
    dockerEntry(graph, `${build.prefix}:${service}.${build.id}`, image),
  );
  const entries: Planned[] = [
    inline("oci-layout", encode(LAYOUT_FILE)),
    inline(
      "index.json",
      renderManifest({
        schemaVersion: 2,
        mediaType: mediaTypes.ociIndex,
        manifests: indexEntries(build, services),
      }),
    ),
    inline("manifest.json", encode(JSON.stringify(docker))),
    ...graph.metadata(),
    ...graph.layers(),
  ];
  return {
    size: entries.reduce((sum, entry) => sum + tarSize(entry.size), END),
    stream: writeTar(entries.map(tarEntry)),
  };
}

function indexEntries(build: BundleBuild, services: [string, Descriptor][]): Descriptor[] {
  const named = (descriptor: Descriptor, annotations: Record<string, string>): Descriptor => {
    const { mediaType, digest, size } = descriptor;
    return { mediaType, digest, size, annotations };
  };
  return [
    named(build.index, { [REF_NAME]: build.id }),
    ...services.map(([service, image]) =>
      named(image, {
        [CONTAINERD_NAME]: `docker.io/${build.prefix}:${service}.${build.id}`,
        [REF_NAME]: `${service}.${build.id}`,
      }),
    ),
  ];
}

/** What the classic `docker load` reads. */
function dockerEntry(
  graph: Graph,
  tag: string,
  image: Descriptor,
): { Config: string; RepoTags: string[]; Layers: string[] } {
  const manifest = graph.image(image);
  return {
    Config: blobPath(manifest.config.digest),
    RepoTags: [tag],
    Layers: manifest.layers.map((layer) => blobPath(layer.digest)),
  };
}

/** Everything below some roots, each blob once, in the order it was met. */
class Graph {
  readonly #store: ReadStore;
  readonly #manifests = new Map<
    Digest,
    { bytes: Bytes; children: Descriptor[]; image: ImageManifest | undefined }
  >();
  readonly #configs = new Map<Digest, Descriptor>();
  readonly #layers = new Map<Digest, Descriptor>();

  constructor(store: ReadStore) {
    this.#store = store;
  }

  async add(root: Descriptor): Promise<void> {
    if (this.#manifests.has(root.digest)) return;
    const { bytes, manifest } = await readManifest(this.#store, root);
    const below = children(manifest);
    this.#manifests.set(root.digest, {
      bytes,
      children: below,
      image: manifest.kind === "image" ? manifest : undefined,
    });
    if (manifest.kind === "image") this.#configs.set(manifest.config.digest, manifest.config);
    for (const child of below) {
      if (isManifestType(child.mediaType)) await this.add(child);
      else if (!this.#configs.has(child.digest)) this.#layers.set(child.digest, child);
    }
  }

  /** The image itself, or of several platforms linux/amd64's, else the first: never this machine's, so bytes do not depend on it. */
  image(root: Descriptor): ImageManifest {
    const node = this.#manifests.get(root.digest);
    if (node?.image) return node.image;
    const candidates = (node?.children ?? []).filter((child) => child.platform?.os !== "unknown");
    const chosen =
      candidates.find(({ platform }) => platform?.os === "linux" && platform.architecture === "amd64") ??
      candidates[0];
    return chosen ? this.image(chosen) : { kind: "image", config: root, layers: [], annotations: {} };
  }

  metadata(): Planned[] {
    const manifests = [...this.#manifests].map(([digest, { bytes }]) => inline(blobPath(digest), bytes));
    return [...manifests, ...[...this.#configs.values()].map((config) => this.#stored(config))];
  }

  layers(): Planned[] {
    return [...this.#layers.values()]
      .filter((layer) => !this.#configs.has(layer.digest))
      .map((layer) => this.#stored(layer));
  }

  #stored(descriptor: Descriptor): Planned {
    return {
      name: blobPath(descriptor.digest),
      size: descriptor.size,
      open: () => this.#store.fetch(descriptor),
    };
  }
}

function inline(name: string, bytes: Bytes): Planned {
  return { name, size: bytes.byteLength, open: async () => streamOf(bytes) };
}

export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

function tarEntry(entry: Planned): NewEntry {
  return { name: entry.name, type: "file", size: entry.size, body: () => entry.open() };
}

/** A header, one more header and its record where the size needs it, and the body in whole blocks. */
function tarSize(size: number): number {
  const extended = size > LARGEST_USTAR ? 2 * BLOCK : 0;
  return BLOCK + extended + Math.ceil(size / BLOCK) * BLOCK;
}
