import { afterAll, beforeAll } from "bun:test";
import { BlobPool } from "../../src/oci/blob-pool.ts";
import { Collector } from "../../src/rack/collector.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { Places } from "../../src/rack/places.ts";
import { RackStore } from "../../src/rack/rack-store.ts";
import { openRegistry } from "../../src/rack/registry-place.ts";
import { testRack } from "../contract/rack.ts";
import { testStore } from "../contract/store.ts";
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
