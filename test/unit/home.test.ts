import { expect, test } from "bun:test";
import { chmod, mkdir, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import fc from "fast-check";
import { rackOptions } from "../../src/commands/context.ts";
import { reasonOf } from "../../src/errors.ts";
import { EmbeddedRack } from "../../src/rack/embedded.ts";
import { Home, projectApp, projectRack } from "../../src/rack/home.ts";
import { checkId, isName } from "../../src/rack/ids.ts";
import { writeFileStream } from "../../src/write-file.ts";
import { tempDir } from "../support/temp.ts";

const REFUSED = [
  "..",
  "../west",
  "/etc/passwd",
  "a/b/c",
  "a/../b",
  "./a",
  "https://u:p@evil.example",
  "west\neast",
  "west\u0000",
  "west;rm",
  "-r",
  "a".repeat(101),
];

for (const folder of [".davit", ".convox"])
  test(`${folder}/rack names a rack, and never a path or an address`, async () => {
    using dir = tempDir();
    await mkdir(dir.join(folder));
    for (const text of ["west", " west\n", "West_2", "organization/west"]) {
      await writeFile(dir.join(folder, "rack"), text);
      expect(await projectRack(dir.path)).toBe(text.trim());
    }
    for (const text of REFUSED) {
      await writeFile(dir.join(folder, "rack"), text);
      await expect(projectRack(dir.path)).rejects.toThrow(`Cannot use the rack of ${folder}/rack`);
    }
    await writeFile(dir.join(folder, "app"), "../../system");
    await expect(projectApp(dir.path)).rejects.toThrow("Cannot use app name");
  });

test("a project's settings are short plain files of the project", async () => {
  using dir = tempDir();
  await mkdir(dir.join("project/.davit"), { recursive: true });
  const said = async (): Promise<string> => (await projectRack(dir.join("project")).catch(reasonOf)) ?? "";
  await writeFile(dir.join("secret"), "west");
  await symlink("../../secret", dir.join("project/.davit/rack"));
  expect(await said()).toBe("Cannot read .davit/rack: it leads out of the project");
  await writeFile(dir.join("project/.davit/app"), "x".repeat(2000));
  await expect(projectApp(dir.join("project"))).rejects.toThrow("it has more than 1 KiB");
  await rm(dir.join("project/.davit/rack"));
  Bun.spawnSync(["mkfifo", dir.join("project/.davit/rack")]);
  expect(await said()).toBe("Cannot read .davit/rack: it is not a plain file");
});

test("no name reaches outside of the directory of racks, whatever it is", async () => {
  using dir = tempDir();
  const home = new Home({ DAVIT_HOME: dir.join("home") });
  await mkdir(dir.join("home/racks/west"), { recursive: true });
  await mkdir(dir.join("home/remotes"), { recursive: true });
  for (const place of ["home/racks/west/ledger.db", "home/ledger.db", "ledger.db"])
    await writeFile(dir.join(place), "");
  await writeFile(dir.join("home/address"), "https://evil.example");
  expect(home.hasRack("west")).toBe(true);
  for (const name of ["..", ".", "", "west/", "./west", "../racks/west", "west/../west", "../.."]) {
    expect(home.hasRack(name)).toBe(false);
    await expect(EmbeddedRack.open(name, rackOptions({ DAVIT_HOME: dir.join("home") }))).rejects.toThrow();
  }
  expect(await home.rackUrl("../address")).toBeUndefined();
  fc.assert(
    fc.property(fc.string(), (text) => {
      if (isName(text)) expect(home.rackDir(text)).toBe(dir.join("home/racks", text));
      return !isName(text) || !/[./\\\0]/.test(text);
    }),
  );
  for (const id of ["", "..", "a/b", "../../x", "a.b", "a".repeat(65)]) expect(() => checkId(id)).toThrow();
});

test("what a rack keeps is its owner's alone, also what an earlier davit gave to others", async () => {
  using dir = tempDir();
  const before = process.umask(0o022);
  try {
    const env = { DAVIT_HOME: dir.join("home") };
    const open = async () => await EmbeddedRack.open("local", rackOptions(env));
    await (await open())[Symbol.asyncDispose]();
    const rack = dir.join("home/racks/local");
    for (const name of await readdir(rack)) if (name !== "key") await chmod(`${rack}/${name}`, 0o755);
    for (const name of ["ledger.db.v1.1", "ledger.db.moved"]) await writeFile(`${rack}/${name}`, "");
    await chmod(rack, 0o755);
    await using again = await open();
    await again.createApp("shop");
    const modes = await Promise.all(
      ["", ...(await readdir(rack))].map(async (name) => [
        name,
        (await stat(`${rack}/${name}`)).mode & 0o077,
      ]),
    );
    expect(modes.filter(([, mode]) => mode !== 0)).toEqual([]);
    expect(modes.map(([name]) => name)).toContain("ledger.db-wal");
    await writeFileStream(dir.join("backup"), again.backup(), 0o600);
    expect((await stat(dir.join("backup"))).mode & 0o777).toBe(0o600);
  } finally {
    process.umask(before);
  }
});
