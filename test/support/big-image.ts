import { type Bytes, encode } from "../../src/bytes.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { contentOf } from "../../src/oci/store.ts";

/** Bytes that look random and are the same for the same seed. */
export function noise(size: number, seed: number): Bytes {
  const words = new Uint32Array(Math.ceil(size / 4));
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, size);
}

/** An image, tagged `image`, with layers of these sizes in bytes. */
export async function bigImage(sizes: number[], seed = 1): Promise<MemoryStore> {
  const store = new MemoryStore();
  const blobs = sizes.map((size, i) => noise(size, seed * 100 + i));
  const layers = blobs.map((bytes) => describe(mediaTypes.ociLayerGzip, bytes));
  const diffIds = layers.map((layer) => layer.digest);
  const config = encode(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: {},
      rootfs: { type: "layers", diff_ids: diffIds },
    }),
  );
  const configDescriptor = describe(mediaTypes.ociConfig, config);
  const { descriptor, bytes } = makeManifest(mediaTypes.ociManifest, { config: configDescriptor, layers });
  for (const [i, layer] of layers.entries()) await store.push(layer, contentOf(blobs[i] ?? new Uint8Array()));
  await store.push(configDescriptor, contentOf(config));
  await store.push(descriptor, contentOf(bytes));
  await store.tag(descriptor, "image");
  return store;
}
