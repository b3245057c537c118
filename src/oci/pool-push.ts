import type { BlobPool } from "./blob-pool.ts";
import type { Descriptor } from "./descriptor.ts";
import { digestAlgorithm } from "./digest.ts";
import type { Content } from "./store.ts";

/** Writes content into a pool under its descriptor: whole, verified and durable, or not at all. */
export async function pushToPool(pool: BlobPool, descriptor: Descriptor, content: Content): Promise<void> {
  const stream = await content.open(0);
  const writer = await pool.writer(digestAlgorithm(descriptor.digest));
  try {
    for await (const chunk of stream) await writer.write(chunk);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.commit(descriptor.mediaType, descriptor);
}
