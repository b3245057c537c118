import type { Descriptor } from "./descriptor.ts";
import { isManifestType } from "./media-types.ts";
import { hasReferrers, type ReadStore } from "./store.ts";
import { Walk } from "./walk.ts";

/** What a copy would do, in bytes. */
export interface CopyPlan {
  move: number;
  present: number;
  /** What the target's host has in another repository. */
  mountable: number;
}

/** Looks at everything below some roots, and moves nothing. */
export async function planCopy(
  source: ReadStore,
  roots: readonly Descriptor[],
  target: ReadStore,
  others: readonly ReadStore[] = [],
): Promise<CopyPlan> {
  const plan: CopyPlan = { move: 0, present: 0, mountable: 0 };
  const manifests: Descriptor[] = [];
  const walk = new Walk(source, {
    enter: async (node) => {
      plan[await placeOf(node, target, others)] += node.size;
      if (isManifestType(node.mediaType)) manifests.push(node);
      return true;
    },
  });
  for (const root of roots) await walk.from(root);
  if (hasReferrers(source))
    // What is found meanwhile is asked for, too.
    for (const { digest } of manifests)
      for (const { mediaType, digest: own, size } of await source.referrers(digest))
        await walk.from({ mediaType, digest: own, size });
  return plan;
}

async function placeOf(
  node: Descriptor,
  target: ReadStore,
  others: readonly ReadStore[],
): Promise<keyof CopyPlan> {
  if ((await target.exists(node)) === "yes") return "present";
  if (isManifestType(node.mediaType)) return "move";
  for (const other of others) if ((await other.exists(node)) === "yes") return "mountable";
  return "move";
}
