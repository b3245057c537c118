import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { streamOf } from "../../src/bytes.ts";
import { BlobPool } from "../../src/oci/blob-pool.ts";
import { Collector } from "../../src/rack/collector.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { RackStore } from "../../src/rack/rack-store.ts";
import { testRack } from "../contract/rack.ts";
import { testStore } from "../contract/store.ts";
import { sampleBundle } from "../support/bundles.ts";
import { tempRack } from "../support/racks.ts";
import { tempDir } from "../support/temp.ts";

testRack("EmbeddedRack", () => tempRack());

testStore("RackStore", async () => {
  const dir = tempDir();
  const ledger = await Ledger.open(dir.join("ledger.db"), () => new Date());
  await ledger.createApp("shop");
  const store = new RackStore("shop", new Collector(new BlobPool(dir.join("layout")), ledger.content));
  const close = async () => {
    ledger.close();
    dir[Symbol.dispose]();
  };
  return Object.assign(store, { [Symbol.asyncDispose]: close });
});

async function blobs(home: string): Promise<string[]> {
  return await readdir(join(home, "racks/local/layout/blobs/sha256"));
}

test("a failed import leaves no blob behind", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  const bundle = await sampleBundle(["web", "api"]);
  await rack
    .importBuild("shop", streamOf(bundle.slice(0, bundle.byteLength - 3000)), {})
    .catch(() => undefined);
  expect(await blobs(rack.home)).toEqual([]);
});

test("deleting the last build that needs a blob removes its file, deleting an app all of them", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  const first = await rack.importBuild("shop", streamOf(await sampleBundle(["web"], "one")), {});
  const count = (await blobs(rack.home)).length;
  const second = await rack.importBuild("shop", streamOf(await sampleBundle(["web"], "two")), {});
  await rack.deleteBuild("shop", second.id);
  expect((await blobs(rack.home)).length).toBe(count);
  await rack.deleteBuild("shop", first.id);
  expect(await blobs(rack.home)).toEqual([]);
});

test("one app cannot read what only another app holds", async () => {
  using dir = tempDir();
  const ledger = await Ledger.open(dir.join("ledger.db"), () => new Date());
  const collector = new Collector(new BlobPool(dir.join("layout")), ledger.content);
  await ledger.createApp("mine");
  await ledger.createApp("theirs");
  const writer = await new RackStore("theirs", collector).writer();
  await writer.write(new TextEncoder().encode("secret"));
  const descriptor = await writer.commit("text/plain");
  const mine = new RackStore("mine", collector);
  expect(await mine.exists(descriptor)).toBe("no");
  expect(mine.fetch(descriptor)).rejects.toThrow("not in app mine");
  ledger.close();
});

test("an env is sealed at rest, and a changed key is refused", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  await rack.createRelease("shop", { env: "DATABASE_PASSWORD=correct horse battery staple" });
  const ledger = await Bun.file(join(rack.home, "racks/local/ledger.db-wal")).text();
  expect(ledger).not.toContain("battery staple");
});
