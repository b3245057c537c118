import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { sampleBundle } from "../support/bundles.ts";
import { sandbox } from "../support/davit.ts";
import { PostgresServer } from "../support/postgres.ts";

async function rackWithBuilds(box: ReturnType<typeof sandbox>) {
  const bundle = box.join("bundle.tar");
  await writeFile(bundle, await sampleBundle(["web", "api"]));
  await box.ok(["builds", "import", "-a", "shop", "-f", bundle]);
  await writeFile(bundle, await sampleBundle(["web"], "another"));
  await box.ok(["builds", "import", "-a", "shop", "-f", bundle]);
  await box.ok(["env", "set", "COLOR=a-sealed-blue", "-a", "shop"]);
  return bundle;
}

test("a backup made while others import is a whole rack, with its key only", async () => {
  using east = sandbox();
  using west = sandbox();
  const bundle = await rackWithBuilds(east);
  const imports = Array.from({ length: 4 }, (_, i) =>
    east.ok(["builds", "import", "-a", `app${i}`, "-f", bundle]),
  );
  const file = east.join("backup.tar");
  const { stderr } = await east.run(["rack", "backup", "-f", file]);
  await Promise.all(imports);
  expect(stderr).toMatch(/^The key is not in it: keep .*\/racks\/local\/key too/m);
  const text = await readFile(file);
  expect(text.includes(await readFile(east.join("home/racks/local/key")))).toBe(false);
  const restored = await west.run(["rack", "restore", "copy", "-f", file]);
  expect(restored).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Restoring rack copy\.\.\. OK, \d+ blobs\n$/),
  });
  const closed = await west.run(["builds", "-a", "shop", "-r", "copy"]);
  expect(closed).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^error: Cannot open rack copy: it was sealed with key [0-9a-f]{8}, and that is not here\nhint: put the right key into /,
    ),
  });
  await writeFile(west.join("home/racks/copy/key"), await readFile(east.join("home/racks/local/key")), {
    mode: 0o600,
  });
  expect(await west.ok(["env", "-a", "shop", "-r", "copy"])).toBe("COLOR=a-sealed-blue\n");
  const digests = async (box: ReturnType<typeof sandbox>, rack: string) =>
    (await box.json(["builds", "-a", "shop", "-r", rack])).map(({ id, digest }: Record<string, string>) => [
      id,
      digest,
    ]);
  expect(await digests(west, "copy")).toEqual(await digests(east, "local"));
  for (const [id] of await digests(west, "copy")) {
    const out = west.join("out.tar");
    await west.ok(["builds", "export", id, "-a", "shop", "-r", "copy", "-f", out]);
    await west.ok(["verify", out]);
  }
  expect(await readdir(east.join("home/racks/local"))).not.toContainEqual(expect.stringMatching(/^backup\./));
});

test("a restored rack frees what it was restored with, also once it has moved into a database", async () => {
  using box = sandbox();
  await rackWithBuilds(box);
  const blobs = async (rack: string) => await readdir(box.join(`home/racks/${rack}/layout/blobs/sha256`));
  const before = (await blobs("local")).length;
  const env = { DAVIT_KEY: (await readFile(box.join("home/racks/local/key"), "utf8")).trim() };
  await box.ok(["rack", "backup", "-f", box.join("backup.tar")]);
  for (const rack of ["copy", "moved"]) await box.ok(["rack", "restore", rack, "-f", box.join("backup.tar")]);
  await using server = await PostgresServer.start();
  const places = [
    { rack: "copy", env },
    { rack: "moved", env: { ...env, DAVIT_DATABASE_URL: await server.database() } },
  ];
  for (const { rack, env } of places) {
    expect((await blobs(rack)).length).toBe(before);
    for (const { id } of await box.json(["builds", "-a", "shop", "-r", rack], { env }))
      expect(
        await box.run(["builds", "delete", id, "--yes", "-a", "shop", "-r", rack], { env }),
      ).toMatchObject({
        code: 0,
        stderr: "",
      });
    expect(await blobs(rack)).toEqual([]);
    expect(await box.json(["apps", "-r", rack], { env })).toMatchObject([
      { name: "shop", status: "running" },
    ]);
  }
});

test("a backup that is cut, damaged or none at all restores nothing", async () => {
  using box = sandbox();
  await rackWithBuilds(box);
  const file = box.join("backup.tar");
  await box.ok(["rack", "backup", "-f", file]);
  const whole = await readFile(file);
  const flipped = Buffer.from(whole);
  const at = whole.lastIndexOf("blobs/sha256/") + 512;
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  const cases = {
    cut: whole.subarray(0, whole.length / 2),
    flipped,
    other: await readFile(box.join("bundle.tar")),
  };
  for (const [name, bytes] of Object.entries(cases)) {
    const { code, stderr } = await box.run(["rack", "restore", "copy"], { stdin: bytes });
    expect([name, code, /^error: /.test(stderr)]).toEqual([name, 1, true]);
    expect(existsSync(box.join("home/racks/copy"))).toBe(false);
  }
  expect(await readdir(box.join("home/racks"))).toEqual(["local"]);
  expect((await box.run(["rack", "restore", "local"], { stdin: whole })).stderr).toContain(
    "it is there already",
  );
});
