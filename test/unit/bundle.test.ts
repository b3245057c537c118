import { expect, test } from "bun:test";
import { ingestArchive } from "../../src/bundle/ingest.ts";
import { readBuild } from "../../src/bundle/record.ts";
import { collect, decode, streamOf } from "../../src/bytes.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { readTar } from "../../src/tar/read.ts";
import {
  bundleOf,
  LOG,
  MANIFEST,
  makeBundle,
  multiPlatformBuild,
  RECORD,
  sampleBuild,
  sampleBundle,
} from "../support/bundles.ts";

async function entriesOf(bytes: Uint8Array<ArrayBuffer>) {
  const found: { name: string; text: string }[] = [];
  for await (const entry of readTar(streamOf(bytes)))
    found.push({ name: entry.name, text: decode(await collect(entry.body, 1e7, entry.name)) });
  return found;
}

test("entries come in plan order: layout, index, docker's manifest, manifests and configs, then layers", async () => {
  const names = (await entriesOf(await sampleBundle(["web", "api"]))).map(({ name, text }) =>
    name.startsWith("blobs/")
      ? text.startsWith('{"schemaVersion"')
        ? "manifest"
        : text.startsWith('{"architecture"')
          ? "config"
          : "layer"
      : name,
  );
  const order = ["oci-layout", "index.json", "manifest.json", "manifest", "config", "layer"];
  expect(names).toEqual([...names].sort((a, b) => order.indexOf(a) - order.indexOf(b)));
  expect(new Set(names)).toEqual(new Set(order));
});

test("each blob is in it once, however many services share it", async () => {
  const { store, index, images } = await sampleBuild(["web"]);
  const web = images.get("web");
  if (!web) throw new Error("no image");
  const shared = new Map([
    ["a", web],
    ["b", web],
  ]);
  const names = (await entriesOf(await bundleOf({ store, index, images: shared }))).map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test("index.json names the build and each service's image, for every reader", async () => {
  const index = JSON.parse((await entriesOf(await sampleBundle(["web"])))[1]?.text ?? "");
  const names = index.manifests.map((entry: { annotations: Record<string, string> }) => entry.annotations);
  expect(names).toEqual([
    { "org.opencontainers.image.ref.name": RECORD.id },
    {
      "io.containerd.image.name": `docker.io/east/shop:web.${RECORD.id}`,
      "org.opencontainers.image.ref.name": `web.${RECORD.id}`,
    },
  ]);
});

test("of several platforms docker's manifest.json takes linux/amd64, whatever the machine", async () => {
  const entries = await entriesOf(await bundleOf(await multiPlatformBuild()));
  const [docker] = JSON.parse(entries[2]?.text ?? "");
  const config = entries.find(({ name }) => name === docker.Config);
  const layer = entries.find(({ name }) => name === docker.Layers[0]);
  expect(config).toBeDefined();
  expect(layer?.text).toBe("multi amd64: first layer");
});

test("the record comes back as it was, and the size is known before the first byte", async () => {
  const sample = await sampleBuild(["web", "api"]);
  const { store, index, images } = sample;
  const { size, stream } = await makeBundle(store, { id: RECORD.id, index, images, prefix: "east/shop" });
  const bytes = await collect(stream, 1e9, "bundle");
  expect(bytes.byteLength).toBe(size);
  const target = new MemoryStore();
  await ingestArchive(streamOf(bytes), target);
  const build = await readBuild(target, index);
  expect(build).toMatchObject({ record: RECORD, manifest: MANIFEST });
  expect(decode(await collect(await target.fetch(build.log), 1e6, "log"))).toBe(LOG);
  expect([...build.services.keys()]).toEqual(["api", "web"]);
});

test("a re-run of an ingest moves nothing that is there", async () => {
  const bytes = await sampleBundle(["web"]);
  const target = new MemoryStore();
  await ingestArchive(streamOf(bytes), target);
  const before = target.blobs.size;
  let writers = 0;
  const watched = Object.assign(target, {
    writer: () => {
      writers++;
      return MemoryStore.prototype.writer.call(target);
    },
  });
  await ingestArchive(streamOf(bytes), watched);
  expect([writers, target.blobs.size]).toEqual([0, before]);
});
