import { encode } from "../../src/bytes.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { contentOf } from "../../src/oci/store.ts";

/** A small image with two layers, tagged `image`; every seed gives other bytes, the same seed the same. */
export async function sampleImage(seed: string): Promise<MemoryStore> {
  const store = new MemoryStore();
  const layers = [encode(`${seed}: first layer`), encode(`${seed}: second layer`)];
  const config = encode(
    JSON.stringify({
      architecture: "amd64",
      os: "linux",
      config: { Cmd: ["/app"] },
      rootfs: { type: "layers", diff_ids: layers.map((layer) => describe("", layer).digest) },
    }),
  );
  const descriptors = layers.map((layer) => describe(mediaTypes.ociLayerGzip, layer));
  const configDescriptor = describe(mediaTypes.ociConfig, config);
  const { descriptor, bytes } = makeManifest(mediaTypes.ociManifest, {
    config: configDescriptor,
    layers: descriptors,
  });
  for (const [i, layer] of layers.entries()) {
    const described = descriptors[i];
    if (described) await store.push(described, contentOf(layer));
  }
  await store.push(configDescriptor, contentOf(config));
  await store.push(descriptor, contentOf(bytes));
  await store.tag(descriptor, "image");
  return store;
}
