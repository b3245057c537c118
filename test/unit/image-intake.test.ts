import { expect, test } from "bun:test";
import { ImageIntake } from "../../src/build/image-intake.ts";
import { encode, streamOf } from "../../src/bytes.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { contentOf } from "../../src/oci/store.ts";

test("what an image's config says of its layers is not remembered", async () => {
  const store = new MemoryStore();
  const remembered: string[] = [];
  const intake = new ImageIntake({
    ...{ store, path: "rack/evil" },
    layer: async () => undefined,
    remember: async (diffId) => void remembered.push(diffId),
    blob: async () => undefined,
    vet: (config) => config,
    ...{ vetStatement: () => undefined, onBytes: () => undefined },
    ...{ onWait: () => undefined, onNote: () => undefined },
  });
  const bytes = encode("what another app's layer should become");
  const layer = describe(mediaTypes.ociLayerGzip, bytes);
  await store.push(layer, contentOf(bytes));
  const theirs = describe("", encode("another app's layer")).digest;
  const text = encode(JSON.stringify({ rootfs: { type: "layers", diff_ids: [theirs] } }));
  const config = describe(mediaTypes.ociConfig, text);
  await intake.hold(config, streamOf(text));
  const made = makeManifest(mediaTypes.ociManifest, { config, layers: [layer] });
  expect(await intake.manifest(made.descriptor, made.bytes)).toEqual(made.descriptor);
  expect(remembered).toEqual([]);
});
