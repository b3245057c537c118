import { expect, test } from "bun:test";
import { PASSWORD, startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";

/* Our own CLI against a rack over HTTP. */

const LONG = 60_000;
const ID = "[A-Z]{10}";

function shop(dir: string): Promise<string> {
  return project(dir, {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG VERSION=none\nARG BUILD_ID\nARG BUILD_RACK\nARG NONCE=${crypto.randomUUID()}\nRUN echo "shop $VERSION $BUILD_RACK $BUILD_ID"\n`,
  });
}

/** A home that knows the rack `east`, which another home's server serves. */
async function east() {
  const [there, here] = [sandbox(), sandbox()];
  const rack = await startRack(there);
  await here.ok(["racks", "add", "east", rack.url, "--password-stdin"], { stdin: PASSWORD });
  const env = { DAVIT_RACK: "east" };
  return {
    ...{ there, here, rack, env },
    ok: (args: string[], options: Parameters<typeof here.ok>[1] = {}) => here.ok(args, { env, ...options }),
    json: (args: string[], options: Parameters<typeof here.ok>[1] = {}) =>
      here.json(args, { env, ...options }),
    run: (args: string[], options: Parameters<typeof here.run>[1] = {}) =>
      here.run(args, { env, ...options }),
    [Symbol.asyncDispose]: async () => {
      await rack[Symbol.asyncDispose]();
      there[Symbol.dispose]();
      here[Symbol.dispose]();
    },
  };
}

test(
  "a build on a remote rack prints its log and its ids, and is deployed",
  async () => {
    await using remote = await east();
    const dir = await shop(remote.here.join("shop"));
    const built = await remote.run(
      [
        "deploy",
        "--build-args",
        "VERSION=1,two",
        "--build-args",
        "BUILD_ID",
        "--build-args",
        "BUILD_RACK",
        "--json",
      ],
      {
        cwd: dir,
      },
    );
    expect(built.code).toBe(0);
    const build = JSON.parse(built.stdout);
    const { release } = build;
    expect(build).toMatchObject({
      status: "complete",
      app: "shop",
      release: expect.stringMatching(new RegExp(`^R${ID}$`)),
    });
    expect(built.stderr).toMatch(new RegExp(`^#\\d+ \\d+\\.\\d+ shop 1,two local ${build.id}$`, "m"));
    expect(await remote.ok(["builds", "logs", build.id, "-a", "shop"])).toMatch(/^Stored: web sha256:/m);
    expect(await remote.there.json(["apps", "info", "shop"])).toMatchObject({ release });
    const back = await remote.ok(["releases", "rollback", release, "-a", "shop", "--id"]);
    expect(await remote.json(["apps", "info", "shop"])).toMatchObject({ release: back });
  },
  LONG,
);

test(
  "a failed build on a remote rack fails here too, with the reason and the log",
  async () => {
    await using remote = await east();
    const dir = await project(remote.here.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}; exit 3\n`,
    });
    const failed = await remote.run(["build"], { cwd: dir });
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: build failed: .*exit code: 3/m),
    });
    expect(failed.stdout).toMatch(/^ERROR: /m);
  },
  LONG,
);

test(
  "an external build leaves the source here; its images and record are the rack's",
  async () => {
    await using remote = await east();
    const dir = await shop(remote.here.join("shop"));
    const build = await remote.json(["build", "--external"], { cwd: dir });
    expect(build).toMatchObject({
      status: "complete",
      release: expect.stringMatching(new RegExp(`^R${ID}$`)),
    });
    expect(await remote.json(["releases", "-a", "shop"])).toHaveLength(1);
    const log = await remote.there.ok(["builds", "logs", build.id, "-a", "shop"]);
    expect(log).toContain(`Pushed: ${remote.rack.host}/shop:web.${build.id}\n`);
    await remote.there.ok(["builds", "export", build.id, "-a", "shop", "-f", remote.there.join("b.tar")]);
    await remote.there.ok(["verify", remote.there.join("b.tar")]);
    const again = await remote.json(["build", "--external"], { cwd: dir });
    const info = async (id: string) => await remote.json(["builds", "info", id, "-a", "shop"]);
    expect((await info(again.id)).images).toEqual((await info(build.id)).images);
    const steps: { cached: boolean }[] = (await info(again.id)).steps;
    expect(steps.map(({ cached }) => cached)).toEqual([true, true, true]);
    const other = await remote.json(["build", "--external", "--build-args", "VERSION=2"], { cwd: dir });
    const causes = (await info(other.id)).steps.flatMap(({ cause }: { cause?: string }) => cause ?? []);
    expect(causes).toEqual(['was RUN echo "shop none $BUILD_RACK $BUILD_ID"; build arg VERSION changed']);
  },
  LONG,
);

test(
  "builds move both ways between a remote rack and the local one, digests kept",
  async () => {
    await using remote = await east();
    const dir = await shop(remote.here.join("shop"));
    const local = { DAVIT_RACK: "local" };
    const build = await remote.here.json(["build", "-a", "shop"], { cwd: dir, env: local });
    const file = remote.here.join("build.tar");
    await remote.here.ok(["builds", "export", build.id, "-a", "shop", "-f", file], { env: local });
    const [there] = [await remote.json(["builds", "import", "-a", "shop", "-f", file])];
    expect(there).toMatchObject({ digest: build.digest });
    const back = remote.here.join("back.tar");
    await remote.ok(["builds", "export", there.id, "-a", "shop", "-f", back]);
    const again = await remote.here.json(["builds", "import", "-a", "copy", "-f", back], { env: local });
    expect(again).toMatchObject({ digest: build.digest });
    await remote.ok(["builds", "copy", there.id, "-a", "shop", "--to", "local", "--to-app", "third"]);
    const [third] = await remote.here.json(["builds", "-a", "third"], { env: local });
    expect(third).toMatchObject({ digest: build.digest });
  },
  LONG,
);

test(
  "a deploy key builds and imports its own app, and does nothing else",
  async () => {
    await using remote = await east();
    for (const app of ["shop", "other"]) await remote.ok(["apps", "create", app]);
    const key = (await remote.ok(["rack", "token", "--for-app", "shop", "--for", "ci"])).trim();
    const env = { RACK_URL: remote.rack.at(`jwt:${key}`) };
    const dir = await shop(remote.here.join("shop"));
    await remote.here.ok(["build", "-a", "shop"], { cwd: dir, env });
    await remote.here.ok(["build", "--external", "-a", "shop"], { cwd: dir, env });
    expect((await remote.here.json(["apps"], { env })).map((app: { name: string }) => app.name)).toEqual([
      "shop",
    ]);
    for (const args of [
      ["builds", "-a", "other"],
      ["registries"],
      ["rack", "params", "set", "A=b"],
      ["apps", "create", "x"],
      ["apps", "delete", "shop", "--yes"],
      ["rack", "token"],
    ])
      expect(await remote.here.run(args, { env })).toMatchObject({
        code: 1,
        stderr: [
          "error: you are unauthorized to access this\n",
          "hint: `davit apps` lists the apps of this login; the rack's admin may allow more\n",
        ].join(""),
      });
    const events = await remote.json(["events", "-l", "100"]);
    expect(events).toContainEqual(
      expect.objectContaining({
        actor: expect.stringMatching(/^ci-deploy \(T[A-Z]{10}\)$/),
        action: "app:delete",
        status: "error",
        data: { app: "shop" },
      }),
    );
    expect(events).toContainEqual(
      expect.objectContaining({
        actor: "rack-password",
        action: "app:create",
        status: "success",
        data: { name: "shop" },
      }),
    );
    expect(events).toContainEqual(
      expect.objectContaining({
        actor: expect.stringMatching(/^ci-deploy \(T[A-Z]{10}\)$/),
        action: "build:create",
        status: "success",
      }),
    );
    const reader = (await remote.ok(["rack", "token", "--role", "read"])).trim();
    const readOnly = { RACK_URL: remote.rack.at(`jwt:${reader}`) };
    await remote.here.ok(["builds", "-a", "shop"], { env: readOnly });
    expect((await remote.here.run(["apps", "create", "x"], { env: readOnly })).code).toBe(1);
  },
  LONG,
);

test(
  "a build outlives its client, and a rack that restarts marks what it cut off",
  async () => {
    await using remote = await east();
    const dir = await project(remote.here.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()} && sleep 4\n`,
    });
    await remote.ok(["apps", "create", "shop"]);
    const client = remote.here.spawn(["build", "-a", "shop"], { cwd: dir, env: remote.env });
    const running = async () => (await remote.json(["builds", "-a", "shop"]))[0]?.status === "running";
    while (!(await running())) await Bun.sleep(100);
    client.kill("SIGINT");
    expect(await client.exited).toBe(130);
    expect(await new Response(client.stderr).text()).toMatch(
      /^error: Interrupted: build B[A-Z]{10} goes on in rack east/m,
    );
    while (await running()) await Bun.sleep(100);
    expect((await remote.json(["builds", "-a", "shop"]))[0]).toMatchObject({ status: "complete" });
    await project(dir, { Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()} && sleep 30\n` });
    const second = remote.here.spawn(["build", "-a", "shop"], { cwd: dir, env: remote.env });
    while (!(await running())) await Bun.sleep(100);
    await remote.rack.kill("SIGKILL");
    second.kill("SIGKILL");
    await using _ = await startRack(remote.there);
    const [cut] = await remote.there.json(["builds", "-a", "shop"]);
    expect(cut).toMatchObject({ status: "failed", reason: "the davit that ran it was stopped" });
  },
  LONG,
);

test(
  "a rack that is stopped ends its builds, marks them, and their followers hear of it",
  async () => {
    await using remote = await east();
    const dir = await project(remote.here.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()} && sleep 30\n`,
    });
    await remote.ok(["apps", "create", "shop"]);
    const client = remote.here.spawn(["build", "-a", "shop"], { cwd: dir, env: remote.env });
    while ((await remote.json(["builds", "-a", "shop"]))[0]?.status !== "running") await Bun.sleep(100);
    await Bun.sleep(500);
    const began = performance.now();
    expect(await remote.rack.kill("SIGTERM")).toBe(0);
    expect(performance.now() - began).toBeLessThan(4000);
    expect(await client.exited).toBe(1);
    expect(await new Response(client.stdout).text()).toMatch(/^ERROR: Interrupted$/m);
    const [build] = await remote.there.json(["builds", "-a", "shop"]);
    expect(build).toMatchObject({ status: "failed", reason: "Interrupted" });
  },
  LONG,
);

test(
  "a rack with a certificate of its own is known by its fingerprint, and no other is taken for it",
  async () => {
    using box = sandbox();
    using there = sandbox();
    const dir = await shop(box.join("shop"));
    const args = ["--tls-self-signed"];
    let address = "";
    {
      await using rack = await startRack(there, "local", PASSWORD, args);
      address = rack.url;
      expect(address).toStartWith("https://");
      const added = await box.run(["racks", "add", "east", rack.url, "--password-stdin"], {
        stdin: PASSWORD,
      });
      expect(added).toMatchObject({
        code: 0,
        stderr: expect.stringMatching(/remembered: SHA256 ([0-9A-F]{2}:){31}[0-9A-F]{2}\n/),
      });
      const env = { DAVIT_RACK: "east" };
      const build = await box.json(["build", "-a", "shop"], { cwd: dir, env });
      await box.ok(["build", "--external", "-a", "shop"], { cwd: dir, env });
      const file = box.join("b.tar");
      await box.ok(["builds", "export", build.id, "-a", "shop", "-f", file], { env });
      await box.ok(["builds", "import", "-a", "shop", "-f", file], { env });
    }
    using another = sandbox();
    const server = another.spawn(
      ["rack", "start", "--listen", new URL(address).host, "--password-stdin", ...args],
      { stdin: PASSWORD },
    );
    await server.stdout.getReader().read();
    const refused = await box.run(["builds", "-a", "shop"], { env: { DAVIT_RACK: "east" } });
    server.kill();
    await server.exited;
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: Cannot reach .*certificate.*\nhint: .*delete .*\/hosts\//),
    });
  },
  LONG,
);

test(
  "the description is the last commit of a clean tree",
  async () => {
    await using remote = await east();
    const dir = await shop(remote.here.join("shop"));
    const git = (...args: string[]) =>
      sh(["git", "-c", "user.name=x", "-c", "user.email=x@y", ...args], { cwd: dir });
    await git("init", "-q");
    await git("add", "-A");
    await git("commit", "-qm", "make the shop blue");
    const sha = (await git("rev-parse", "HEAD")).trim();
    const build = await remote.json(["build", "-a", "shop"], { cwd: dir });
    expect(build).toMatchObject({
      description: `build ${sha.slice(0, 10)} make the shop blue`,
      "git-sha": sha,
    });
    const [release] = await remote.json(["releases", "-a", "shop"]);
    expect(release).toMatchObject({ description: `build ${sha.slice(0, 10)} make the shop blue` });
  },
  LONG,
);

test(
  "-m names another convox.yml, here and on a remote rack",
  async () => {
    await using remote = await east();
    const dir = await project(remote.here.join("shop"), {
      "deploy/other.yml": "services:\n  api:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()}\n`,
    });
    for (const env of [remote.env, { DAVIT_RACK: "local" }]) {
      const build = await remote.here.json(["build", "-a", "shop", "-m", "deploy/other.yml"], {
        cwd: dir,
        env,
      });
      const info = await remote.here.json(["builds", "info", build.id, "-a", "shop"], { env });
      expect(Object.keys(info.images)).toEqual(["api"]);
    }
  },
  LONG,
);

test(
  "every managed build arg has the value that is documented",
  async () => {
    await using remote = await east();
    const names = ["APP", "DEVELOPMENT", "GENERATION", "ID", "MANIFEST", "RACK"].map(
      (name) => `BUILD_${name}`,
    );
    const dir = await project(remote.here.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}${names.map((name) => `ARG ${name}\n`).join("")}ARG NONCE=${crypto.randomUUID()}\nRUN echo "${names.map((name) => `$${name}`).join(" ")}."\n`,
    });
    const args = names.flatMap((name) => ["--build-args", name]);
    const log = await remote.ok(["build", "-a", "shop", "--development", ...args], { cwd: dir });
    expect(log).toMatch(new RegExp(`^#\\d+ \\d+\\.\\d+ shop true 2 B${ID} convox\\.yml local\\.$`, "m"));
  },
  LONG,
);
