import { streamPlan } from "../../src/bundle/archive-plan.ts";
import { BUILD_LOG, type BuildRecord, putBuild } from "../../src/bundle/record.ts";
import { type BundleBuild, planBundle } from "../../src/bundle/write.ts";
import { type Bytes, collect, encode } from "../../src/bytes.ts";
import { copy } from "../../src/oci/copy.ts";
import { type Descriptor, describe } from "../../src/oci/descriptor.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { contentOf, type ReadStore } from "../../src/oci/store.ts";
import { sampleImage } from "./images.ts";

export const RECORD: BuildRecord = {
  id: "BSAMPLEBLD",
  app: "shop",
  description: "a sample",
  "git-sha": "0123456789012345678901234567890123456789",
  entrypoint: "/bin/sh -c",
  "wildcard-domain": true,
  started: "2026-01-02T03:04:05.000Z",
  ended: "2026-01-02T03:05:05.000Z",
  engine: "docker 20.10.24",
};
export const MANIFEST = "services:\n  web:\n    build: .\n";
export const LOG = "Building: .\nStored: web\n";

export interface SampleBuild {
  store: MemoryStore;
  index: Descriptor;
  images: Map<string, Descriptor>;
}

/** A whole build in memory, with one image for each service name. */
export async function sampleBuild(services = ["web"], seed = "sample"): Promise<SampleBuild> {
  const store = new MemoryStore();
  const images = new Map<string, Descriptor>();
  for (const service of services) {
    const image = await sampleImage(`${seed} ${service}`);
    images.set(service, await copy(image, await image.resolve("image"), store));
  }
  const log = describe(BUILD_LOG, encode(LOG));
  await store.push(log, contentOf(encode(LOG)));
  return { store, index: await putBuild(store, RECORD, MANIFEST, log, images), images };
}

/** A build whose one service is an image for two platforms. */
export async function multiPlatformBuild(): Promise<SampleBuild> {
  const store = new MemoryStore();
  const manifests: Descriptor[] = [];
  for (const architecture of ["arm64", "amd64"]) {
    const image = await sampleImage(`multi ${architecture}`);
    const root = await copy(image, await image.resolve("image"), store);
    manifests.push({ ...root, platform: { architecture, os: "linux" } });
  }
  const made = makeManifest(mediaTypes.ociIndex, { manifests });
  await store.push(made.descriptor, contentOf(made.bytes));
  const log = describe(BUILD_LOG, encode(LOG));
  await store.push(log, contentOf(encode(LOG)));
  const images = new Map([["web", made.descriptor]]);
  return { store, index: await putBuild(store, RECORD, MANIFEST, log, images), images };
}

/** One build's bundle, and the size it says it has. */
export async function makeBundle(store: ReadStore, build: BundleBuild) {
  const plan = await planBundle(store, [build]);
  return { size: plan.size, stream: streamPlan(plan) };
}

/** A build as a bundle's bytes. */
export async function bundleOf({ store, index, images }: SampleBuild): Promise<Bytes> {
  const bundle = await makeBundle(store, { id: RECORD.id, index, images, prefix: "east/shop" });
  return await collect(bundle.stream, 1e9, "bundle");
}

/** A sample build as a bundle's bytes. */
export async function sampleBundle(services = ["web"], seed = "sample"): Promise<Bytes> {
  return await bundleOf(await sampleBuild(services, seed));
}
