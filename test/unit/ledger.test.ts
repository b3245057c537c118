import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { Ledger } from "../../src/rack/ledger.ts";
import { TABLES } from "../../src/rack/ledger-rows.ts";
import { migrations } from "../../src/rack/tables.ts";
import { testLedger } from "../contract/ledger.ts";
import { tempDir } from "../support/temp.ts";

testLedger("SQLite", async () => {
  const dir = tempDir();
  return {
    open: (now) => Ledger.open({ path: dir.join("ledger.db"), now }),
    [Symbol.asyncDispose]: async () => dir[Symbol.dispose](),
  };
});

test("every table moves into another database, but for who leads", () => {
  const made = migrations.join("").matchAll(/CREATE TABLE (\w+)/g);
  const names = new Set([...made].map(([, name = ""]) => name));
  names.delete("leaders");
  expect([...TABLES].map(String).sort()).toEqual([...names].sort());
});

test("a ledger of before apps had ids keeps what was set of them, and what was kept under their names", async () => {
  using dir = tempDir();
  const file = new Database(dir.join("ledger.db"));
  for (const migration of migrations.slice(0, 5)) file.run(migration);
  file.run("PRAGMA user_version = 4005");
  for (const app of ["shop", "shop-two"])
    file.run("INSERT INTO apps (name, created) VALUES (?, '2026')", [app]);
  for (const key of ["scale shop/web", "scale shop-two/web", "cache shop/web.buildcache", "unpromoted shop"])
    file.run("INSERT INTO meta (key, value) VALUES (?1, ?1)", [key]);
  file.run("INSERT INTO meta (key, value) VALUES ('scale gone/web', '{}')");
  for (const name of [".resource/gone/main-db", ".resource/gone/cache", ".resource/shop/db"])
    file.run("INSERT INTO params (name, value) VALUES (?, 'sealed')", [name]);
  file.run("INSERT INTO pins (lease, digest) VALUES ('of a restored rack', 'sha256:1')");
  file.close();
  const ledger = await Ledger.open({ path: dir.join("ledger.db") });
  expect(await ledger.appFacts.beginning("")).toEqual([
    { app: "shop", name: "cache web.buildcache", value: "cache shop/web.buildcache" },
    { app: "shop", name: "scale web", value: "scale shop/web" },
    { app: "shop", name: "unpromoted", value: "unpromoted shop" },
    { app: "shop-two", name: "scale web", value: "scale shop-two/web" },
  ]);
  expect(await ledger.apps.ids()).toEqual(["shop", "shop-two"]);
  expect(await ledger.apps.former()).toEqual([{ id: "gone", name: "gone", deleted: "" }]);
  await ledger.close();
  const after = new Database(dir.join("ledger.db"), { readonly: true });
  expect(after.query("SELECT key FROM meta UNION ALL SELECT digest FROM pins").all()).toEqual([]);
  after.close();
});
