import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { chmod, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { drain, streamOf } from "../../src/bytes.ts";
import { BlobPool } from "../../src/oci/blob-pool.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { makeManifest, NO_IMAGE } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { contentOf } from "../../src/oci/store.ts";
import { isAbandoned, ownerText, stateOf, thisProcess } from "../../src/owner.ts";
import { Collector } from "../../src/rack/collector.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { Places } from "../../src/rack/places.ts";
import { RackStore } from "../../src/rack/rack-store.ts";
import { Seal } from "../../src/rack/seal.ts";
import { SCHEMA } from "../../src/rack/tables.ts";
import { testRack } from "../contract/rack.ts";
import { testStore } from "../contract/store.ts";
import { sampleBundle } from "../support/bundles.ts";
import { importOne } from "../support/import-one.ts";
import { tempRack, tempRemoteRack } from "../support/racks.ts";
import { tempDir } from "../support/temp.ts";

testRack("EmbeddedRack", () => tempRack());
testRack("RemoteRack", () => tempRemoteRack());

testStore("RackStore", async () => {
  const dir = tempDir();
  const ledger = await Ledger.open({ path: dir.join("ledger.db") });
  await ledger.apps.create("shop");
  const store = new RackStore(
    "shop",
    new Collector(new Places(new BlobPool(dir.join("layout"))), ledger, dir.join("lock.db")),
  );
  const close = async () => {
    await ledger.close();
    dir[Symbol.dispose]();
  };
  return Object.assign(store, { [Symbol.asyncDispose]: close });
});

async function blobs(home: string): Promise<string[]> {
  return await readdir(join(home, "racks/local/layout/blobs/sha256"));
}

/** A bundle whose last blob, or another part of it, is not what it says. */
async function damaged(services = ["web", "api"]) {
  const bundle = await sampleBundle(services);
  const at = bundle.byteLength - 1024 - 512;
  bundle[at] = (bundle[at] ?? 0) ^ 1;
  return bundle;
}

test("an import of a damaged archive leaves no blob behind", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  await importOne(rack, streamOf(await damaged()), {}).catch(() => undefined);
  expect(await blobs(rack.home)).toEqual([]);
});

test("what came before a cut is not stored again by the next try, and swept when that is done", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  const bundle = await sampleBundle(["web", "api"]);
  await importOne(rack, streamOf(bundle.slice(0, bundle.byteLength - 3000)), {}).catch(() => undefined);
  const kept = await blobs(rack.home);
  expect(kept.length).toBeGreaterThan(0);
  expect(await rack.builds("shop")).toEqual([]);
  const written = await Promise.all(
    kept.map((name) => stat(join(rack.home, "racks/local/layout/blobs/sha256", name))),
  );
  const build = await importOne(rack, streamOf(bundle), {});
  for (const [i, name] of kept.entries())
    expect((await stat(join(rack.home, "racks/local/layout/blobs/sha256", name))).ino).toBe(
      written[i]?.ino ?? 0,
    );
  await rack.deleteBuild("shop", build.id);
  expect(await blobs(rack.home)).toEqual([]);
});

test("deleting the last build that needs a blob removes its file, deleting an app all of them", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  const first = await importOne(rack, streamOf(await sampleBundle(["web"], "one")), {});
  const count = (await blobs(rack.home)).length;
  const second = await importOne(rack, streamOf(await sampleBundle(["web"], "two")), {});
  await rack.deleteBuild("shop", second.id);
  expect((await blobs(rack.home)).length).toBe(count);
  await rack.deleteBuild("shop", first.id);
  expect(await blobs(rack.home)).toEqual([]);
});

test("one app cannot read what only another app holds", async () => {
  using dir = tempDir();
  const ledger = await Ledger.open({ path: dir.join("ledger.db") });
  const collector = new Collector(new Places(new BlobPool(dir.join("layout"))), ledger, dir.join("lock.db"));
  await ledger.apps.create("mine");
  await ledger.apps.create("theirs");
  const writer = await new RackStore("theirs", collector).writer();
  await writer.write(new TextEncoder().encode("secret"));
  const descriptor = await writer.commit("text/plain");
  const mine = new RackStore("mine", collector);
  expect(await mine.exists(descriptor)).toBe("no");
  await expect(mine.fetch(descriptor)).rejects.toThrow("not in app mine");
  await ledger.close();
});

test("an env is sealed at rest, and a changed key is refused", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  await rack.createRelease("shop", { env: "DATABASE_PASSWORD=correct horse battery staple" });
  const ledger = await Bun.file(join(rack.home, "racks/local/ledger.db-wal")).text();
  expect(ledger).not.toContain("battery staple");
});

test("a key that other users can read is refused, and a rack cannot be opened with another key", async () => {
  using dir = tempDir();
  const place = "releases/RABCDEFGHIJ/env";
  const sealed = await (await Seal.open(dir.join("key"), undefined)).seal("A=1", place);
  expect(await (await Seal.open(dir.join("key"), undefined)).open(sealed, place)).toBe("A=1");
  await expect(
    (await Seal.open(dir.join("key"), undefined)).open(sealed, "releases/ROTHEROTHER/env"),
  ).rejects.toThrow("it was changed");
  const other = await Seal.open(dir.join("other"), undefined);
  await expect(other.open(sealed, place)).rejects.toThrow("sealed with key");
  await chmod(dir.join("key"), 0o644);
  await expect(Seal.open(dir.join("key"), undefined)).rejects.toThrow("other users can read it");
});

test("an owner in another container is judged by time, one of another boot is gone, this process is alive", () => {
  const me = thisProcess();
  expect(stateOf(me)).toBe("alive");
  expect(stateOf({ ...me, started: "1" })).toBe("gone");
  expect(stateOf({ ...me, boot: "another" })).toBe("gone");
  const elsewhere = ownerText({ ...me, namespace: "1", pid: 1 });
  expect(isAbandoned(elsewhere, 1000, 999)).toBe(false);
  expect(isAbandoned(elsewhere, 1000, 1001)).toBe(true);
  expect(isAbandoned(ownerText(me), 0, 1001)).toBe(false);
});

test("a ledger that a newer davit wrote is refused in one line, unless it says that this one can read it", async () => {
  using dir = tempDir();
  const path = dir.join("ledger.db");
  await (await Ledger.open({ path })).close();
  const db = new Database(path);
  db.run(`PRAGMA user_version = ${(SCHEMA + 1) * 1000 + SCHEMA + 1}`);
  await expect(Ledger.open({ path })).rejects.toThrow("written by a newer davit");
  db.run(`PRAGMA user_version = ${1000 + SCHEMA + 1}`);
  db.close();
  const ledger = await Ledger.open({ path });
  expect(await ledger.apps.list()).toEqual([]);
  await ledger.close();
});

test("an export that was read to its end holds nothing back from the collector", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  const build = await importOne(rack, streamOf(await sampleBundle()), {});
  await drain((await rack.exportBuilds("shop", [build.id])).stream);
  const db = new Database(join(rack.home, "racks/local/ledger.db"), { readonly: true });
  expect(db.query("SELECT count(*) AS n FROM leases").get()).toEqual({ n: 0 });
  db.close();
});

test("a manifest that an index brought stays when it was pushed again by itself, and the index goes", async () => {
  await using rack = await tempRack();
  await rack.createApp("shop");
  const registry = rack.registry();
  const repository = await registry.writable("shop");
  if (!repository) throw new Error("the app is a repository");
  const config = describe(mediaTypes.ociConfig, NO_IMAGE);
  const store = new RackStore("shop", registry.parts.collector, await registry.ledger.lease());
  await store.push(config, contentOf(NO_IMAGE));
  const image = makeManifest(mediaTypes.ociManifest, { config, layers: [] });
  const index = makeManifest(mediaTypes.ociIndex, { manifests: [image.descriptor] });
  await repository.putManifest(image.descriptor, image.bytes, []);
  await repository.putManifest(index.descriptor, index.bytes, ["all"]);
  await repository.putManifest(image.descriptor, image.bytes, []);
  await repository.deleteManifest(index.descriptor.digest);
  for (const id of await leasesOf(rack.home, "registry"))
    await registry.parts.ledger.content.leases.close(id);
  await registry.parts.collector.run();
  expect(await repository.manifest(image.descriptor.digest, false)).toBeDefined();
  expect(await repository.manifest(index.descriptor.digest, false)).toBeUndefined();
});

async function leasesOf(home: string, owner: string): Promise<string[]> {
  const db = new Database(join(home, "racks/local/ledger.db"), { readonly: true });
  const rows = db.query<{ id: string }, [string]>("SELECT id FROM leases WHERE owner = ?").all(owner);
  db.close();
  return rows.map(({ id }) => id);
}
