import { readManifest } from "./copy.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import { children } from "./manifest.ts";
import { isManifestType } from "./media-types.ts";
import { hasReferrers, type ReadStore } from "./store.ts";

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
  const seen = new Set<Digest>();
  const visit = async (node: Descriptor): Promise<void> => {
    if (seen.has(node.digest)) return;
    seen.add(node.digest);
    const place = await placeOf(node, target, others);
    plan[place] += node.size;
    if (!isManifestType(node.mediaType)) return;
    const { manifest } = await readManifest(source, node);
    for (const child of children(manifest)) await visit(child);
    if (hasReferrers(source))
      for (const referrer of await source.referrers(node.digest)) await visit(referrer);
  };
  for (const root of roots) await visit(root);
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
