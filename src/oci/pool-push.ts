import type { BlobPool } from "./blob-pool.ts";
import type { Descriptor } from "./descriptor.ts";
import { digestAlgorithm } from "./digest.ts";
import { pushThrough } from "./push-through.ts";
import type { Content } from "./store.ts";

/** Writes content into a pool under its descriptor: whole, verified and durable, or not at all. */
export async function pushToPool(pool: BlobPool, descriptor: Descriptor, content: Content): Promise<void> {
  await pushThrough(await pool.writer(digestAlgorithm(descriptor.digest)), descriptor, content);
}
