import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { REF_NAME } from "../oci/layout-store.ts";
import { isIndexType } from "../oci/media-types.ts";
import { MemoryStore } from "../oci/memory-store.ts";
import { hasReferrers, type ReadStore } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import { type ArchivePlan, planArchive } from "./archive-plan.ts";
import { Graph } from "./graph.ts";
import { isBuildIndex, readBuild, servicesImages } from "./record.ts";
import { planBundle } from "./write.ts";

/** Whether content is a build of davit's, and not just an image. */
export async function isBuild(store: ReadStore, root: Descriptor): Promise<boolean> {
  if (!isIndexType(root.mediaType)) return false;
  return isBuildIndex((await readManifest(store, root)).manifest);
}

/**
 * Plans the archive of what a name stands for. A build comes out as `builds
 * export` writes it, an image under its tag; what refers to them comes along.
 */
export async function planRoot(
  store: ReadStore,
  root: Descriptor,
  name: { tag: string | undefined; image: string; referrers: boolean },
): Promise<ArchivePlan> {
  if (await isBuild(store, root)) return await planBuild(store, root, name.image);
  const graph = new Graph(store);
  await graph.add(root);
  if (name.referrers) await graph.addReferrers();
  const { mediaType, digest, size } = root;
  const annotations = name.tag === undefined ? {} : { annotations: { [REF_NAME]: name.tag } };
  const docker = name.tag === undefined ? [] : [{ tag: `${name.image}:${name.tag}`, image: root }];
  return planArchive(store, graph, {
    index: [{ mediaType, digest, size, ...annotations }, ...graph.referrers],
    docker,
  });
}

async function planBuild(store: ReadStore, root: Descriptor, prefix: string): Promise<ArchivePlan> {
  const over = new Overlay(store);
  const content = await readBuild(store, root);
  const images = await servicesImages(over.made, content);
  const { mediaType, digest, size } = root;
  return await planBundle(over, [
    { id: content.record.id, index: { mediaType, digest, size }, images, prefix },
  ]);
}

/** A store with a few manifests on top that are made here. */
class Overlay implements ReadStore {
  readonly made = new MemoryStore();
  readonly #below: ReadStore;

  constructor(below: ReadStore) {
    this.#below = below;
  }

  resolve(ref: string): Promise<Descriptor> {
    return this.#below.resolve(ref);
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no" | "unknown"> {
    return this.made.blobs.has(descriptor.digest) ? "yes" : await this.#below.exists(descriptor);
  }

  async fetch(descriptor: Descriptor, from = 0) {
    const store = this.made.blobs.has(descriptor.digest) ? this.made : this.#below;
    return await store.fetch(descriptor, from);
  }

  async referrers(subject: Digest): Promise<Descriptor[]> {
    return hasReferrers(this.#below) && !this.made.blobs.has(subject)
      ? await this.#below.referrers(subject)
      : [];
  }
}
