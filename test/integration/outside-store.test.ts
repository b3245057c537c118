import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { collect, streamOf } from "../../src/bytes.ts";
import { BlobPool } from "../../src/oci/blob-pool.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { Collector } from "../../src/rack/collector.ts";
import type { EmbeddedRack } from "../../src/rack/embedded.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { Places } from "../../src/rack/places.ts";
import { RackStore } from "../../src/rack/rack-store.ts";
import { openRegistry } from "../../src/rack/registry-place.ts";
import { testRack } from "../contract/rack.ts";
import { testStore } from "../contract/store.ts";
import { sampleBundle } from "../support/bundles.ts";
import { importOne } from "../support/import-one.ts";
import { peer } from "../support/peers.ts";
import { tempRack } from "../support/racks.ts";
import { startRegistry } from "../support/registry.ts";
import { tempDir } from "../support/temp.ts";

let registry: Awaited<ReturnType<typeof startRegistry>>;
let prefixes = 0;
beforeAll(async () => {
  registry = await startRegistry();
});
afterAll(() => registry[Symbol.asyncDispose]());

function prefix(): string {
  return `${registry.host}/team${++prefixes}`;
}

testStore("RackStore in a registry", async () => {
  const dir = tempDir();
  const ledger = await Ledger.open({ path: dir.join("ledger.db") });
  await ledger.apps.create("shop");
  const store = prefix();
  const outside = {
    wanted: async () => store,
    open: async (name: string) =>
      openRegistry(name, { env: {}, login: async () => undefined, state: dir.path }),
  };
  const places = new Places(new BlobPool(dir.join("layout")), outside);
  const close = async () => {
    await ledger.close();
    dir[Symbol.dispose]();
  };
  return Object.assign(new RackStore("shop", new Collector(places, ledger, dir.join("lock.db"))), {
    [Symbol.asyncDispose]: close,
  });
});

testRack("EmbeddedRack with its images in a registry", async () => {
  const rack = await tempRack();
  await rack.setParams({ Registry: prefix() });
  return rack;
});

const MOST = 64 * 1024 * 1024;

async function exported(rack: EmbeddedRack, id: string): Promise<Uint8Array> {
  return await collect((await rack.exportBuilds("shop", [id])).stream, MOST, "an export");
}

async function ownBlobs(rack: { home: string }): Promise<string[]> {
  return await readdir(`${rack.home}/racks/local/layout/blobs/sha256`);
}

const signal = new AbortController().signal;

test("changing Registry moves earlier builds, from store to store and back, and leaves nothing behind", async () => {
  await using rack = await tempRack();
  await using other = await startRegistry(undefined, peer("registry"));
  await rack.createApp("shop");
  await rack.createApp("twin");
  const { id } = await importOne(rack, streamOf(await sampleBundle(["web", "api"])), {});
  const twin = await rack.importBuilds("twin", streamOf(await sampleBundle(["web", "api"])), {});
  const bytes = await exported(rack, id);
  const [first, second] = [prefix(), `${other.host}/elsewhere`];
  for (const place of [first, second]) {
    await rack.setParams({ Registry: place });
    expect((await rack.system()).outputs["moving"]).toMatch(/^\d+ \d+$/);
    const later = await importOne(rack, streamOf(await sampleBundle(["web"], place)), {});
    await rack.settle({ signal });
    expect((await rack.system()).outputs).toEqual({});
    expect(await ownBlobs(rack)).toEqual([]);
    expect((await rack.build("shop", id)).store).toBe(place);
    expect((await rack.build("shop", later.id)).store).toBe(place);
    expect(await exported(rack, id)).toEqual(bytes);
    // Whoever may read the registry finds the build by its names.
    const digests = await Promise.all(
      [`web.${id}`, id].map(async (tag) => {
        const response = await fetch(`http://${place.replace("/", "/v2/")}/shop/manifests/${tag}`, {
          method: "HEAD",
          headers: { accept: `${mediaTypes.ociIndex}, ${mediaTypes.ociManifest}` },
        });
        return response.headers.get("docker-content-digest");
      }),
    );
    const build = await rack.build("shop", id);
    expect(digests).toEqual([build.images?.["web"] ?? "", build.digest ?? ""]);
  }
  const inFirst = await fetch(`http://${first.replace("/", "/v2/")}/shop/manifests/${id}`, {
    headers: { accept: mediaTypes.ociIndex },
  });
  expect(inFirst.status).toBe(404);
  await rack.setParams({ Registry: "" });
  await rack.settle({ signal });
  expect(await exported(rack, id)).toEqual(bytes);
  expect((await rack.build("shop", id)).store).toBeUndefined();
  expect(twin[0]?.digest).toBe((await rack.build("twin", twin[0]?.id ?? "")).digest);
}, 60_000);

test("a registry that cannot be used, or that another rack uses, is refused before anything changes", async () => {
  await using rack = await tempRack();
  await using other = await tempRack();
  const place = prefix();
  await rack.setParams({ Registry: place });
  await rack.setParams({ Registry: place });
  await expect(other.setParams({ Registry: place })).rejects.toThrow(
    `Cannot keep content in ${place}: rack local keeps its content there`,
  );
  await expect(other.setParams({ Registry: "https://registry.example/team" })).rejects.toThrow(
    "is not like HOST/PREFIX",
  );
  await expect(other.setParams({ Registry: "127.0.0.1:1/team" })).rejects.toThrow(
    "Cannot keep content in 127.0.0.1:1/team",
  );
  expect((await other.system()).parameters["Registry"]).toBeUndefined();
});

test("deleting a build deletes its images from the registry, but none that another build has", async () => {
  await using rack = await tempRack();
  const place = prefix();
  await rack.setParams({ Registry: place });
  await rack.createApp("shop");
  const one = await importOne(rack, streamOf(await sampleBundle(["web"], "same")), {});
  const two = await importOne(rack, streamOf(await sampleBundle(["web"], "same")), {});
  const status = async (digest: string | undefined): Promise<number> => {
    const headers = { accept: `${mediaTypes.ociIndex}, ${mediaTypes.ociManifest}` };
    return (await fetch(`http://${place.replace("/", "/v2/")}/shop/manifests/${digest}`, { headers })).status;
  };
  const image = one.digest === two.digest ? (await rack.build("shop", one.id)).images?.["web"] : undefined;
  expect(await status(image)).toBe(200);
  await rack.deleteBuild("shop", one.id);
  expect(await status(image)).toBe(200);
  await rack.deleteBuild("shop", two.id);
  expect(await status(image)).toBe(404);
  expect(await status(two.digest)).toBe(404);
});
