import { expect, test } from "bun:test";
import { convoxCli, PASSWORD, startRack } from "../support/convox.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { absent } from "../support/peers.ts";
import { BASE, project } from "../support/projects.ts";

/* The real `convox` CLI against `davit rack start`. Where it waits it waits for 15 s, so what can be is done side by side. */

const LONG = 120_000;
const ID = "[A-Z]{10}";

function shop(dir: string): Promise<string> {
  return project(dir, {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG VERSION=none\nARG BUILD_ID\nARG NONCE=${crypto.randomUUID()}\nRUN echo "shop $VERSION $BUILD_ID"\n`,
  });
}

test.skipIf(absent("convox"))(
  "convox build prints its lines, the log and both ids; builds, info and logs show it",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    await box.ok(["apps", "create", "shop"]);
    await using rack = await startRack(box);
    const env = { RACK_URL: rack.rackUrl };
    const dir = await shop(box.join("shop"));
    const args = ["--build-args", "VERSION=1,two", "--build-args", "BUILD_ID", "-d", "a first build"];
    const output = await convox.ok(["build", "-a", "shop", ...args], { cwd: dir, env });
    expect(output).toMatch(
      /^Packaging source\.\.\. OK\nUploading source\.\.\. OK\nStarting build\.\.\. OK\nBuilding: \.\n/,
    );
    const [, build = "", release = ""] =
      new RegExp(`\nBuild: {3}(B${ID})\nRelease: (R${ID})\n$`).exec(output) ?? [];
    expect(output).toMatch(new RegExp(`^#\\d+ \\d+\\.\\d+ shop 1,two ${build}$`, "m"));
    const shown = await convox.ok(["builds", "-a", "shop"], { env });
    expect(shown).toMatch(/^ID +STATUS +RELEASE +STARTED +ELAPSED +DESCRIPTION\n/);
    expect(shown).toMatch(new RegExp(`^${build} +complete +${release} .* a first build$`, "m"));
    const info = await convox.ok(["builds", "info", build, "-a", "shop"], { env });
    expect(info).toMatch(
      new RegExp(`^Id +${build}\nStatus +complete\nRelease +${release}\nDescription +a first build\n`),
    );
    const log = await convox.ok(["builds", "logs", build, "-a", "shop"], { env });
    expect(output).toContain(log);
    const id = await convox.run(["build", "--id", "-a", "shop"], { cwd: dir, env });
    expect(id.stdout).toMatch(new RegExp(`^R${ID}$`));
    expect(id.stderr).toContain("Starting build... OK\n");
  },
  LONG,
);

test.skipIf(absent("convox"))(
  "convox hears of a build that fails, and its log stays",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    await box.ok(["apps", "create", "shop"]);
    await using rack = await startRack(box);
    const env = { RACK_URL: rack.rackUrl };
    const dir = await project(box.join("shop"), {
      "convox.yml": "services:\n  web:\n    build: .\n",
      Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()} && false\n`,
    });
    const failed = await convox.run(["build", "-a", "shop"], { cwd: dir, env });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain("ERROR: build failed");
    const [build] = await box.json(["builds", "-a", "shop"]);
    expect(build).toMatchObject({ status: "failed", release: "" });
    expect(await convox.ok(["builds", "logs", build.id, "-a", "shop"], { env })).toMatch(/^ERROR: /m);
  },
  LONG,
);

test.skipIf(absent("convox"))(
  "convox exports and imports builds between two racks, by a file and by a pipe",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    await box.ok(["racks", "add", "west"]);
    await box.ok(["apps", "create", "shop"]);
    await box.ok(["apps", "create", "shop", "-r", "west"]);
    const dir = await shop(box.join("shop"));
    const { id } = await box.json(["build", "-a", "shop"], { cwd: dir });
    await using east = await startRack(box);
    await using west = await startRack(box, "west");
    const file = box.join("build.tgz");
    const exported = await convox.ok(["builds", "export", id, "-a", "shop", "-f", file], {
      env: { RACK_URL: east.rackUrl },
    });
    expect(exported).toBe("Exporting build... OK\n");
    const imported = await convox.ok(["builds", "import", "-a", "shop", "-f", file], {
      env: { RACK_URL: west.rackUrl },
    });
    expect(imported).toMatch(new RegExp(`^Importing build\\.\\.\\. OK, R${ID}\n$`));
    const pipe = `set -o pipefail; RACK_URL=${east.rackUrl} "$0" builds export ${id} -a shop | RACK_URL=${west.rackUrl} "$0" builds import -a shop --id`;
    const release = await sh(["bash", "-c", pipe, convox.program], { cwd: box.path, env: convox.env() });
    const [newest] = await box.json(["builds", "-a", "shop", "-r", "west"]);
    expect(newest).toMatchObject({ release, status: "complete" });
    const [images, original] = await Promise.all([
      box.json(["builds", "info", newest.id, "-a", "shop", "-r", "west"]),
      box.json(["builds", "info", id, "-a", "shop"]),
    ]);
    expect(images.images).toEqual(original.images);
  },
  LONG,
);

test.skipIf(absent("convox"))(
  "convox create, deploy, rollback and env with promotion end with the release active",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    for (const app of ["one", "two", "three"]) await box.ok(["apps", "create", app]);
    const dir = await shop(box.join("shop"));
    const builds = await Promise.all(
      ["two", "three"].map((app) => box.json(["build", "-a", app], { cwd: dir })),
    );
    await using rack = await startRack(box);
    const env = { RACK_URL: rack.rackUrl };
    const run = (args: string[]) => convox.ok(args, { cwd: dir, env });
    const [created, deployed, rolledBack, set] = await Promise.all([
      run(["apps", "create", "fresh"]),
      run(["deploy", "-a", "one", "--id"]),
      run(["releases", "rollback", builds[0].release, "-a", "two", "--id"]),
      run(["env", "set", "COLOR=blue", "-p", "-a", "three"]),
    ]);
    expect(created).toBe("Creating fresh... OK\n");
    expect(await box.json(["apps", "info", "one"])).toMatchObject({ release: deployed, status: "running" });
    expect(await box.json(["apps", "info", "two"])).toMatchObject({ release: rolledBack });
    expect(set).toMatch(
      new RegExp(`^Setting COLOR\\.\\.\\. OK\nRelease: R${ID}\nPromoting R${ID}\\.\\.\\. \nOK\n$`),
    );
    expect(await run(["env", "get", "COLOR", "-a", "three"])).toBe("blue\n");
    expect(await run(["releases", "-a", "three"])).toMatch(/ active .* env add:COLOR$/m);
    const made = await run([
      ...[
        "releases",
        "create-from",
        "--use-active-release-build",
        "--env-from",
        builds[1].release,
        "-a",
        "three",
      ],
    ]);
    expect(made).toMatch(
      new RegExp(
        `^Using build from release: R${ID}\nUsing env from release: R${ID}\nCreated release: R${ID}\nOK\n$`,
      ),
    );
    const older = await convox.run(["releases", "promote", builds[1].release, "-a", "three"], { env });
    expect(older.stderr).toContain("can not promote an older release, try rollback");
  },
  LONG,
);

test.skipIf(absent("convox"))(
  "convox build --external sends no source, and what it pushes is the build",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    await box.ok(["apps", "create", "shop"]);
    const dir = await shop(box.join("shop"));
    await using rack = await startRack(box);
    const output = await convox.ok(["build", "--external", "-a", "shop", "--id"], {
      cwd: dir,
      env: { RACK_URL: rack.rackUrl, PATH: process.env["PATH"] ?? "" },
    });
    const [build] = await box.json(["builds", "-a", "shop"]);
    expect(build).toMatchObject({ release: output, status: "complete" });
    expect(await box.ok(["builds", "logs", build.id, "-a", "shop"])).toContain(
      `docker push ${rack.host}/shop:web.${build.id}`,
    );
    await box.ok(["verify", "-"], { stdin: Bun.file(await exported(box, build.id)) });
    const moved = await fetch(`${rack.url}/v2/shop/manifests/web.${build.id}`, {
      method: "PUT",
      headers: {
        authorization: `Basic ${Buffer.from(`x:${PASSWORD}`).toString("base64")}`,
        "content-type": "application/vnd.oci.image.manifest.v1+json",
      },
      body: "{}",
    });
    expect(moved.status).toBe(403);
    await sh([DOCKER, "rmi", "-f", `local/shop:web.${build.id}`, `${rack.host}/shop:web.${build.id}`]);
  },
  LONG,
);

async function exported(box: ReturnType<typeof sandbox>, id: string): Promise<string> {
  const file = box.join("exported.tar");
  await box.ok(["builds", "export", id, "-a", "shop", "-f", file]);
  return file;
}

test.skipIf(absent("convox"))(
  "convox builds import-image relays an image that is in a registry",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    for (const app of ["shop", "images"]) await box.ok(["apps", "create", app]);
    const dir = await shop(box.join("shop"));
    await box.ok(["build", "-a", "shop"], { cwd: dir });
    const [first] = await box.json(["builds", "-a", "shop"]);
    await using rack = await startRack(box);
    const output = await convox.ok(
      [
        ...["builds", "import-image", `${rack.host}/shop:web.${first.id}`, "-a", "images"],
        ...["--src-creds-user", "me", "--src-creds-pass-env", "SOURCE_PASSWORD"],
      ],
      { cwd: dir, env: { RACK_URL: rack.rackUrl, SOURCE_PASSWORD: PASSWORD } },
    );
    expect(output).toMatch(
      new RegExp(
        `^Creating build\\.\\.\\. OK, B${ID}\nRelaying image .*\\.\\.\\. OK\nWaiting for import to complete\\.\\.\\. OK\n`,
      ),
    );
    const [build] = await box.json(["builds", "-a", "images"]);
    const [copy, original] = await Promise.all([
      box.json(["builds", "info", build.id, "-a", "images"]),
      box.json(["builds", "info", first.id, "-a", "shop"]),
    ]);
    expect(copy.images).toEqual(original.images);
  },
  LONG,
);

test.skipIf(absent("convox"))(
  "convox login, racks and switch take a davit for a console",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box, { X_DEV_ALLOW_HTTP: "true" });
    await using rack = await startRack(box);
    const wrong = await convox.run(["login", rack.host, "-t", "wrong-password"]);
    expect(wrong.stderr).toContain("ERROR: invalid login");
    expect(await convox.ok(["login", rack.host, "-t", PASSWORD])).toContain("OK\n");
    expect(await convox.ok(["racks"])).toMatch(/^davit\/local +local +running$/m);
    expect(await convox.ok(["switch", "local"])).toContain("Switched to davit/local\n");
    expect(await convox.ok(["rack"])).toMatch(/^Version +3\.24\.6$/m);
  },
  LONG,
);

test.skipIf(absent("convox"))(
  "convox registries and rack params are kept sealed, and listed",
  async () => {
    using box = sandbox();
    const convox = convoxCli(box);
    await using rack = await startRack(box);
    const env = { RACK_URL: rack.rackUrl };
    const server = "https://index.docker.io/v1/";
    expect(await convox.ok(["registries", "add", server, "me", "hidden-in-the-ledger"], { env })).toBe(
      "Adding registry... OK\n",
    );
    expect(await convox.ok(["registries"], { env })).toMatch(/^https:\/\/index\.docker\.io\/v1\/ +me$/m);
    const set = [
      "rack",
      "params",
      "set",
      "BuildCache=Yes",
      "docker_hub_username=me",
      "docker_hub_password=hidden-too",
    ];
    expect(await convox.ok(set, { env })).toBe("Updating parameters... OK\n");
    expect(await convox.ok(["rack", "params"], { env })).toMatch(/^BuildCache +Yes$/m);
    expect((await convox.run(["rack", "params", "set", "BuildCache=Perhaps"], { env })).stderr).toContain(
      "Yes or No",
    );
    const stored = await sh(["sh", "-c", `cat ${box.join("home")}/racks/local/ledger.db*`]);
    expect(stored).toContain("docker_hub_username");
    expect(stored).not.toMatch(/hidden-in-the-ledger|hidden-too/);
    expect(await convox.ok(["registries", "remove", server], { env })).toBe("Removing registry... OK\n");
  },
  LONG,
);
