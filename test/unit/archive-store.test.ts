import { expect, test } from "bun:test";
import { collect } from "../../src/bytes.ts";
import { hasCode } from "../../src/errors.ts";
import { ArchiveStore } from "../../src/oci/archive-store.ts";
import { copy } from "../../src/oci/copy.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { RECORD, sampleBuild, sampleBundle } from "../support/bundles.ts";
import { tempDir } from "../support/temp.ts";

async function openSample() {
  const dir = tempDir();
  await Bun.write(dir.join("b.tar"), await sampleBundle(["web", "api"]));
  return {
    dir,
    path: dir.join("b.tar"),
    store: await ArchiveStore.open(dir.join("b.tar")),
    [Symbol.dispose]: dir[Symbol.dispose],
  };
}

test("an archive is read in place: names resolve, and the whole graph can be copied out of it", async () => {
  using sample = await openSample();
  const { store, index } = await sampleBuild(["web", "api"]);
  const root = await sample.store.resolve(RECORD.id);
  expect(root.digest).toBe(index.digest);
  const copied = new MemoryStore();
  await copy(sample.store, root, copied);
  expect([...copied.blobs.keys()].sort()).toEqual([...store.blobs.keys()].sort());
});

test("a blob is read whole or from an offset, and absence is not-found", async () => {
  using sample = await openSample();
  const image = await sample.store.resolve(`web.${RECORD.id}`);
  const whole = await collect(await sample.store.fetch(image), 1e6, "manifest");
  expect(await collect(await sample.store.fetch(image, 10), 1e6, "manifest")).toEqual(whole.slice(10));
  const absent = describe("text/plain", new Uint8Array([1, 2, 3]));
  expect(await sample.store.exists(absent)).toBe("no");
  for (const missing of [sample.store.fetch(absent), sample.store.resolve("none")])
    expect(hasCode(await missing.catch((e: unknown) => e), "not-found")).toBe(true);
});

test("a flipped bit is found when the blob is read", async () => {
  using sample = await openSample();
  const image = await sample.store.resolve(`web.${RECORD.id}`);
  const bytes = new Uint8Array(await Bun.file(sample.path).arrayBuffer());
  const at = Buffer.from(bytes).indexOf('"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest');
  bytes[at + 20] = (bytes[at + 20] ?? 0) ^ 1;
  await Bun.write(sample.path, bytes);
  const store = await ArchiveStore.open(sample.path);
  const results = await Promise.all(
    [image, await store.resolve(`api.${RECORD.id}`)].map(async (d) =>
      collect(await store.fetch(d), 1e6, "x").catch((e: unknown) => e),
    ),
  );
  expect(results.filter((result) => hasCode(result, "mismatch") || result instanceof Error)).toHaveLength(1);
});
