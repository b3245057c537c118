import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { convoxCli, startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";
import { absent } from "../support/peers.ts";
import { BASE, project } from "../support/projects.ts";
import { Recorder } from "../support/recorder.ts";
import { startRegistry } from "../support/registry.ts";

/* External builds for a rack whose registry is elsewhere, with the logins that clouds give. */

const LOGINS: Record<string, { name: string; password: string }> = {
  "Amazon's": { name: "AWS", password: "eyJwYXlsb2FkIjoiL+8/abc==" },
  "Google's": { name: "_json_key", password: '{"type":"x","key":"a/b+c=="}' },
  "Azure's": { name: "00000000-0000-0000-0000-000000000000", password: "eyJ0.eyJh-_x.sig%41" },
};

for (const [whose, login] of Object.entries(LOGINS))
  test(`an external build pushes with ${whose} kind of login, and says it nowhere`, async () => {
    using box = sandbox();
    await box.ok(["apps", "create", "shop"]);
    await using registry = await startRegistry(login);
    await using rack = await startRack(box);
    await using recorder = new Recorder(rack.url);
    const address = `http://${encodeURIComponent(login.name)}:${encodeURIComponent(login.password)}@${registry.host}/team/shop`;
    recorder.answer = (line, text) =>
      line === "POST /apps/shop/builds" ? JSON.stringify({ ...JSON.parse(text), repository: address }) : text;
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}\n`,
    });
    const RACK_URL = rack.rackUrl.replace(rack.host, recorder.host);
    const { stdout, stderr } = await box.run(["build", "--external", "-a", "shop"], {
      cwd: dir,
      env: { RACK_URL },
    });
    const [, tag = ""] = /^Pushed: \S+\/team\/shop:(web\.B[A-Z]{10})$/m.exec(stdout) ?? [];
    const authorization = `Basic ${Buffer.from(`${login.name}:${login.password}`).toString("base64")}`;
    const accept = "application/vnd.oci.image.manifest.v1+json";
    const manifest = await fetch(`http://${registry.host}/v2/team/shop/manifests/${tag}`, {
      headers: { authorization, accept },
    });
    expect(manifest.status).toBe(200);
    expect(stdout + stderr).not.toContain(login.password);
    expect(JSON.stringify(recorder.requests)).not.toContain(login.password);
    expect(
      recorder.requests.find(({ line }) => line.startsWith("POST /apps/shop/objects/tmp/")),
    ).toBeUndefined();
  }, 60_000);

const LOGIN = { name: "team", password: "hunter2hunter2" };

/** A served rack whose images are in a registry, and a project to build for it. */
async function elsewhere(there: ReturnType<typeof sandbox>, here: ReturnType<typeof sandbox>) {
  const registry = await startRegistry(LOGIN);
  await there.ok(["apps", "create", "shop"]);
  await there.ok(["registries", "add", registry.host, LOGIN.name, "--password-stdin"], {
    stdin: LOGIN.password,
  });
  await there.ok(["rack", "params", "set", `Registry=${registry.host}/deep/team`]);
  const rack = await startRack(there);
  const dir = await project(here.join("shop"), {
    "convox.yml": "services:\n  web:\n    build: .\n  api:\n    build: .\n",
    Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}\n`,
  });
  return {
    ...{ registry, dir, env: { RACK_URL: rack.rackUrl } },
    async [Symbol.asyncDispose]() {
      await rack[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
}

test("an external build for a rack whose images are in a registry with one login needs only the rack's", async () => {
  using there = sandbox();
  using here = sandbox();
  await using place = await elsewhere(there, here);
  const { registry, dir, env } = place;
  const built = await here.run(["build", "--external", "-a", "shop", "--json"], { cwd: dir, env });
  const build = JSON.parse(built.stdout);
  expect(build).toMatchObject({ status: "complete", store: `${registry.host}/deep/team` });
  expect(built.stdout + built.stderr).not.toContain(LOGIN.password);
  expect(await readdir(there.join("home/racks/local/layout/blobs/sha256"))).toEqual([]);
  // A backup is whole, wherever content is, and comes back to a directory.
  const file = there.join("backup.tar");
  await there.ok(["rack", "backup", "-f", file]);
  await there.ok(["rack", "restore", "copy", "-f", file, "--key", there.join("home/racks/local/key")]);
  const out = there.join("out.tar");
  await there.ok(["builds", "export", build.id, "-a", "shop", "-r", "copy", "-f", out]);
  await there.ok(["verify", out]);
}, 120_000);

test.skipIf(absent("convox"))(
  "convox build --external for a rack whose images are in a registry needs only the rack's login",
  async () => {
    using there = sandbox();
    using here = sandbox();
    await using place = await elsewhere(there, here);
    const convox = convoxCli(here, place.env);
    const build = ["build", "--external", "-a", "shop", "--id"];
    const release = (await convox.ok(build, { cwd: place.dir })).trim();
    expect(release).toMatch(/^R[A-Z]{10}$/);
    const [newest] = await there.json(["builds", "-a", "shop"]);
    const store = `${place.registry.host}/deep/team`;
    expect(newest).toMatchObject({ release, status: "complete", store });
  },
  120_000,
);
