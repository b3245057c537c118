import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { copyFile, readFile, rename, writeFile } from "node:fs/promises";
import { startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";

const PASSWORD = "hunter2hunter2";

async function rackWithSecrets() {
  const box = sandbox();
  await box.ok(["apps", "create", "shop"]);
  await box.ok(["env", "set", "DATABASE_PASSWORD=correct horse", "-a", "shop"]);
  await box.ok(["env", "set", "MORE=battery staple", "-a", "shop"]);
  await box.ok(["registries", "add", "r.example", "me", "--password-stdin"], { stdin: PASSWORD });
  await box.ok(["rack", "params", "set", "docker_hub_password=hunter3hunter3", "docker_hub_username=me"]);
  return box;
}

async function secrets(box: ReturnType<typeof sandbox>): Promise<string[]> {
  const releases: { id: string }[] = await box.json(["releases", "-a", "shop"]);
  const envs = await Promise.all(releases.map(({ id }) => box.ok(["env", "-a", "shop", "--release", id])));
  const params = await box.json(["rack", "params", "--reveal"]);
  return [...envs, params.docker_hub_password, await box.ok(["registries"])];
}

test("after rekey every secret is there, and the old key opens nothing", async () => {
  using box = await rackWithSecrets();
  const before = await secrets(box);
  const key = box.join("home/racks/local/key");
  await copyFile(key, box.join("old.key"));
  expect(await box.ok(["rack", "rekey"])).toMatch(
    /^Sealing rack local with another key\.\.\. OK, [0-9a-f]{8}\n$/,
  );
  expect(await readFile(key, "utf8")).not.toBe(await readFile(box.join("old.key"), "utf8"));
  expect(existsSync(`${key}.next`)).toBe(false);
  expect(await secrets(box)).toEqual(before);
  const old = await readFile(box.join("old.key"), "utf8");
  const closed = await box.run(["env", "-a", "shop"], { env: { DAVIT_KEY: old.trim() } });
  expect(closed).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/it was sealed with key [0-9a-f]{8}, this is key/),
  });
  // As it is when the ledger has the new key and the file has not.
  await rename(key, `${key}.next`);
  await copyFile(box.join("old.key"), key);
  expect(await secrets(box)).toEqual(before);
  expect(existsSync(`${key}.next`)).toBe(false);
  await box.ok(["rack", "rekey", "--key", box.join("old.key")]);
  expect(await readFile(key, "utf8")).toBe(old);
  expect(await secrets(box)).toEqual(before);
});

test("a key that is none, or the same, or of a rack that is served changes nothing", async () => {
  using box = await rackWithSecrets();
  const key = box.join("home/racks/local/key");
  await writeFile(box.join("bad.key"), "not a key\n");
  const bad = await box.run(["rack", "rekey", "--key", box.join("bad.key")]);
  expect(bad).toMatchObject({ code: 1, stderr: expect.stringMatching(/it is not 32 bytes in base64/) });
  expect((await box.run(["rack", "rekey", "--key", key])).stderr).toContain("it is the same key");
  {
    await using _ = await startRack(box);
    expect((await box.run(["rack", "rekey"])).stderr).toMatch(/^error: Cannot serve .* serves it already$/m);
  }
  expect(existsSync(`${key}.next`)).toBe(false);
  expect(await box.ok(["env", "-a", "shop"])).toContain("battery staple");
});

test("a rekey that is killed at any moment leaves a rack that opens", async () => {
  using box = await rackWithSecrets();
  const before = await secrets(box);
  const began = performance.now();
  await box.ok(["rack", "rekey"]);
  const duration = performance.now() - began;
  const KILLS = 25;
  for (let i = 0; i < KILLS; i++) {
    const child = box.spawn(["rack", "rekey"]);
    await Bun.sleep(((i + 0.5) / KILLS) * duration);
    child.kill("SIGKILL");
    await child.exited;
    expect(await box.ok(["env", "-a", "shop"])).toContain("battery staple");
  }
  expect(await secrets(box)).toEqual(before);
}, 60_000);
