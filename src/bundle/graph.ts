import type { Bytes } from "../bytes.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { ImageManifest } from "../oci/manifest.ts";
import { hasReferrers, type ReadStore } from "../oci/store.ts";
import { type ReadManifest, Walk } from "../oci/walk.ts";

interface Node {
  bytes: Bytes;
  children: Descriptor[];
  image: ImageManifest | undefined;
}

/** Everything below some roots, each blob once, in the order it was met. */
export class Graph {
  readonly #store: ReadStore;
  readonly #walk: Walk;
  readonly #manifests = new Map<Digest, Node>();
  readonly #configs = new Map<Digest, Descriptor>();
  readonly #layers = new Map<Digest, Descriptor>();
  /** Signatures, SBOMs and attestations of what is in the graph, by digest. */
  readonly referrers: Descriptor[] = [];

  constructor(store: ReadStore) {
    this.#store = store;
    this.#walk = new Walk(store, {
      read: (node, read) => this.#met(node, read),
      leave: async (node, read) => {
        if (!read && !this.#configs.has(node.digest)) this.#layers.set(node.digest, node);
      },
    });
  }

  /** Adds what is below a root. */
  async add(root: Descriptor): Promise<void> {
    await this.#walk.from(root);
  }

  #met(node: Descriptor, { bytes, below, manifest }: ReadManifest): void {
    const image = manifest.kind === "image" ? manifest : undefined;
    this.#manifests.set(node.digest, { bytes, children: below, image });
    if (image) this.#configs.set(image.config.digest, image.config);
  }

  /** Adds what refers to the manifests that are here, and to those in turn. */
  async addReferrers(): Promise<void> {
    if (!hasReferrers(this.#store)) return;
    const asked = new Set<Digest>();
    for (let more = true; more; ) {
      const fresh = [...this.#manifests.keys()].filter((digest) => !asked.has(digest));
      more = fresh.length > 0;
      for (const digest of fresh) {
        asked.add(digest);
        for (const referrer of await this.#store.referrers(digest)) {
          if (this.#manifests.has(referrer.digest)) continue;
          const { mediaType, digest: own, size } = referrer;
          this.referrers.push({ mediaType, digest: own, size });
          await this.add(referrer);
        }
      }
    }
    this.referrers.sort((a, b) => (a.digest < b.digest ? -1 : 1));
  }

  /** The image itself, or of several platforms linux/amd64's, else the first: never this machine's, so bytes do not depend on it. */
  image(root: Descriptor): ImageManifest | undefined {
    const node = this.#manifests.get(root.digest);
    if (node?.image) return node.image;
    const candidates = (node?.children ?? []).filter((child) => child.platform?.os !== "unknown");
    const chosen =
      candidates.find(({ platform }) => platform?.os === "linux" && platform.architecture === "amd64") ??
      candidates[0];
    return chosen && this.image(chosen);
  }

  get manifests(): [Digest, Bytes][] {
    return [...this.#manifests].map(([digest, { bytes }]) => [digest, bytes]);
  }

  get configs(): Descriptor[] {
    return [...this.#configs.values()];
  }

  get layers(): Descriptor[] {
    return [...this.#layers.values()].filter((layer) => !this.#configs.has(layer.digest));
  }
}
