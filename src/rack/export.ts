import { streamPlan } from "../bundle/archive-plan.ts";
import { writeConvox } from "../bundle/convox.ts";
import { Graph } from "../bundle/graph.ts";
import { planBundle } from "../bundle/write.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { ReadStore } from "../oci/store.ts";
import type { Build, Bundle, ExportOptions } from "./rack.ts";

/** A build to be exported, and its roots in a store. */
export interface ExportedBuild {
  build: Build;
  index: Descriptor;
  /** By service name. */
  images: Map<string, Descriptor>;
}

export interface BundleOptions {
  /** Blobs that are left out. */
  omit: Set<string>;
  /** What image names begin with: `RACK/APP`. */
  prefix: string;
  format: ExportOptions["format"];
}

/** Builds of any store as one archive. */
export async function bundleOf(
  store: ReadStore,
  builds: readonly ExportedBuild[],
  { omit, prefix, format }: BundleOptions,
): Promise<Bundle> {
  if (format !== "convox") {
    const named = builds.map(({ build, index, images }) => ({ id: build.id, index, images, prefix }));
    const plan = await planBundle(store, named, { omit });
    return { size: plan.size, omitted: plan.omitted, stream: streamPlan(plan) };
  }
  const [only, another] = builds;
  if (!only || another)
    throw new DavitError("usage", "Cannot export several builds in Convox's format: it has room for one");
  const { images: _, digest: __, ...record } = only.build;
  return { size: undefined, omitted: 0, stream: writeConvox(store, record, only.images) };
}

/** Digests of the configs and layers that some roots reach. */
export async function blobsBelow(store: ReadStore, roots: readonly Descriptor[]): Promise<Digest[]> {
  const graph = new Graph(store);
  for (const root of roots) await graph.add(root);
  return [...graph.configs, ...graph.layers].map(({ digest }) => digest);
}
