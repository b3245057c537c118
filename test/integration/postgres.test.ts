import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { copyFile, mkdir } from "node:fs/promises";
import fc from "fast-check";
import { collect, streamOf } from "../../src/bytes.ts";
import { restore } from "../../src/rack/backup.ts";
import { EmbeddedRack } from "../../src/rack/embedded.ts";
import { newId } from "../../src/rack/ids.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { testLedger } from "../contract/ledger.ts";
import { testRack } from "../contract/rack.ts";
import { sampleBundle } from "../support/bundles.ts";
import { importOne } from "../support/import-one.ts";
import { PostgresServer } from "../support/postgres.ts";
import { tempRack } from "../support/racks.ts";
import { RegistryModel } from "../support/registry-model.ts";
import { step } from "../support/registry-steps.ts";
import { tempDir } from "../support/temp.ts";

let postgres: PostgresServer;
beforeAll(async () => {
  postgres = await PostgresServer.start();
});
afterAll(() => postgres[Symbol.asyncDispose]());

testLedger("PostgreSQL", async () => {
  const url = await postgres.database();
  return {
    open: (now) => Ledger.open({ path: "unused", url, now }),
    [Symbol.asyncDispose]: async () => undefined,
  };
});

testRack("EmbeddedRack in PostgreSQL", async () =>
  tempRack("local", { DAVIT_DATABASE_URL: await postgres.database() }),
);

const MOST = 64 * 1024 * 1024;

async function openRack(home: string, url?: string, name = "local"): Promise<EmbeddedRack> {
  const env = { DAVIT_HOME: home, ...(url ? { DAVIT_DATABASE_URL: url } : {}) };
  return await EmbeddedRack.open(name, { env, engine: () => Promise.reject(new Error("no engine here")) });
}

/** A rack with a build, and an env that came after it. */
async function fill(rack: EmbeddedRack): Promise<{ id: string; bytes: Uint8Array }> {
  await rack.createApp("shop");
  const { id } = await importOne(rack, streamOf(await sampleBundle(["web", "api"])), {});
  await rack.createRelease("shop", { env: "GREETING=hello" });
  await rack.note({ actor: "me", action: "build:import", status: "success", error: "", data: {} });
  return { id, bytes: await exported(rack, id) };
}

async function exported(rack: EmbeddedRack, id: string): Promise<Uint8Array> {
  return await collect((await rack.exportBuilds("shop", [id])).stream, MOST, "an export");
}

test("a rack in a file moves into an empty database, all of it, and out again by a backup", async () => {
  using dir = tempDir();
  const first = await openRack(dir.path);
  const { id, bytes } = await fill(first);
  const releases = await first.releases("shop");
  await first[Symbol.asyncDispose]();

  const url = await postgres.database();
  const moved = await openRack(dir.path, url);
  expect(existsSync(dir.join("racks/local/ledger.db"))).toBe(false);
  expect(await moved.releases("shop")).toEqual(releases);
  expect(await exported(moved, id)).toEqual(bytes);
  expect((await moved.events()).map(({ action }) => action)).toEqual(["build:import"]);
  const more = await moved.createRelease("shop", { env: "GREETING=goodbye" });

  await restore(moved.backup(), dir.join("racks/copy"));
  await copyFile(dir.join("racks/local/key"), dir.join("racks/copy/key"));
  await moved[Symbol.asyncDispose]();
  await using copy = await openRack(dir.path, undefined, "copy");
  expect((await copy.releases("shop"))[0]).toEqual(more);
  expect((await copy.build("shop", id)).digest).toBeDefined();
});

test("a database is one rack's: another is refused, and so is the right one without its key", async () => {
  using dir = tempDir();
  const url = await postgres.database();
  await (await openRack(dir.path, url))[Symbol.asyncDispose]();
  await expect(openRack(dir.path, url, "west")).rejects.toThrow("holds rack local");
  await mkdir(dir.join("elsewhere"));
  await expect(openRack(dir.join("elsewhere"), url)).rejects.toThrow("it was sealed with key");
});

test("what a database acknowledged is there after it was killed, and writes go on when it is back", async () => {
  await using server = await PostgresServer.start();
  const ledger = await Ledger.open({ path: "unused", url: await server.database() });
  await ledger.apps.create("shop");
  const kept: string[] = [];
  let stopped = false;
  const writer = async (): Promise<void> => {
    while (!stopped) {
      const build = { id: newId("B"), app: "shop", description: "", gitSha: "", wildcardDomain: false };
      // A commit whose answer was lost may have happened or not: only that is not known.
      const known = await ledger.builds.start(build).then(
        () => true,
        (error: unknown) => {
          expect(String(error)).toContain("broke off");
          return false;
        },
      );
      if (known) kept.push(build.id);
    }
  };
  const writers = [writer(), writer(), writer()];
  for (let i = 0; i < 3; i++) {
    await Bun.sleep(100 + 70 * i);
    await server.down("immediate");
    await server.up();
  }
  await Bun.sleep(200);
  stopped = true;
  await Promise.all(writers);
  const there = new Set((await ledger.builds.list("shop", 100_000)).map(({ id }) => id));
  expect(kept.filter((id) => !there.has(id))).toEqual([]);
  expect(kept.length).toBeGreaterThan(10);
  await ledger.close();
}, 60_000);

test("a database that cannot be had is one clear line, without its password", async () => {
  const open = (url: string) =>
    Ledger.open({ path: "unused", url }).then(String, (error: Error) => error.message);
  expect(await open("mysql://root:hunter2hunter2@db/rack")).toContain("it is no postgres:// address");
  const url = (await postgres.database()).replace(/[^/]+$/, "nowhere").replace("unused", "hunter2hunter2");
  const message = await open(url);
  expect(message).toContain('database "nowhere" does not exist');
  expect(message).not.toContain("hunter2");
});

test("in PostgreSQL too a collector takes nothing that is needed at the very moment of other work", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 20 }), async (steps) => {
      await using model = await new RegistryModel(await postgres.database()).open();
      for (const run of steps) {
        await Promise.all([run(model), model.collect(), model.collect()]);
        await model.check();
      }
      await model.checkNothingLeft();
    }),
    { numRuns: 6 },
  );
}, 600_000);
