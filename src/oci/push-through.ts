import type { Descriptor } from "./descriptor.ts";
import type { BlobWriter, Content } from "./store.ts";

/** Writes content through a writer under its descriptor: whole and verified, or not at all. */
export async function pushThrough(
  writer: BlobWriter,
  descriptor: Descriptor,
  content: Content,
): Promise<void> {
  try {
    for await (const chunk of await content.open(0)) await writer.write(chunk);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  await writer.commit(descriptor.mediaType, descriptor);
}
