import { expect, test } from "bun:test";
import { mkdir, readFile } from "node:fs/promises";
import { ownerText, thisProcess } from "../../src/owner.ts";
import { DOCKER, davitCommand, sandbox, sh } from "../support/davit.ts";
import { peer } from "../support/peers.ts";
import { BASE, project, threeServices } from "../support/projects.ts";
import { startRegistry } from "../support/registry.ts";

/** Puts an image into a registry, made and pushed by docker itself. */
async function pushImage(box: ReturnType<typeof sandbox>, name: string): Promise<string> {
  const dir = await project(box.join("image"), {
    Dockerfile: `${BASE}RUN echo cached > /data\nCMD ["cat", "/data"]\n`,
  });
  await sh([DOCKER, "build", "-q", "-t", name, dir], { env: { ...process.env, DOCKER_BUILDKIT: "1" } });
  await sh([DOCKER, "push", "-q", name]);
  const manifest = await fetch(`http://${name.replace(/\/([^:]+):/, "/v2/$1/manifests/")}`, {
    headers: { accept: "application/vnd.docker.distribution.manifest.v2+json" },
  });
  return manifest.headers.get("docker-content-digest") ?? "";
}

test("three services are built, kept, exported, and the same in a second rack; every peer opens the bundle", async () => {
  using box = sandbox();
  await using registry = await startRegistry();
  const image = `${registry.host}/cache:1`;
  const imageDigest = await pushImage(box, image);
  const dir = await project(box.join("shop"), threeServices(image));

  const output = await box.ok(
    ["build", "--build-args", "VERSION=1.10", "--build-args", "BUILD_ID", "-d", "first"],
    { cwd: dir },
  );
  const id = /^Build: {3}(B[A-Z]{10})$/m.exec(output)?.[1] ?? "";
  const release = /^Release: (R[A-Z]{10})$/m.exec(output)?.[1] ?? "";
  const build = await box.json(["builds", "info", id], { cwd: dir });
  expect(build).toMatchObject({
    id,
    release,
    status: "complete",
    description: "first",
    entrypoint: "/bin/sh -c",
  });
  expect(build.images.cache).toBe(imageDigest);

  const log = await box.ok(["builds", "logs", id], { cwd: dir });
  expect(output).toContain(log);

  await box.ok(["racks", "add", "west"]);
  const [davit = ""] = davitCommand();
  await sh(
    [
      "bash",
      "-c",
      `set -o pipefail; "$0" builds export ${id} -a shop -r local | "$0" builds import -a shop -r west`,
      davit,
    ],
    { env: box.env() },
  );
  const [moved] = await box.json(["builds", "-a", "shop", "-r", "west"]);
  expect((await box.json(["builds", "info", moved.id, "-a", "shop", "-r", "west"])).images).toEqual(
    build.images,
  );
  expect(moved.digest).toBe(build.digest);
  expect(await box.ok(["builds", "logs", moved.id, "-a", "shop", "-r", "west"])).toBe(log);

  const [first, second] = [box.join("one.tar"), box.join("two.tar")];
  for (const file of [first, second]) await box.ok(["builds", "export", id, "-f", file], { cwd: dir });
  expect(Buffer.compare(await readFile(first), await readFile(second))).toBe(0);

  await sh(["skopeo", "copy", "-q", `oci-archive:${first}:web.${id}`, `dir:${box.join("skopeo")}`]);
  await sh([DOCKER, "load", "-q", "-i", first]);
  expect(await sh([DOCKER, "run", "--rm", `local/shop:web.${id}`])).toBe(`web 1.10 ${id}\n`);
  expect(await sh([DOCKER, "run", "--rm", `local/shop:api.${id}`])).toBe("api vanilla\n");
  expect(await sh([DOCKER, "run", "--rm", `local/shop:cache.${id}`])).toBe("cached\n");

  await mkdir(box.join("layout"));
  await sh(["tar", "xf", first, "-C", box.join("layout")]);
  await sh(["umoci", "unpack", "--image", `${box.join("layout")}:web.${id}`, box.join("umoci")]);
  await sh([peer("crane"), "push", "--index", box.join("layout"), `${registry.host}/shop:${id}`]);
  const there = `ocidir://${box.join("regctl")}`;
  await sh([peer("regctl"), "image", "import", "--name", `web.${id}`, there, first]);
  for (const service of ["web", "api", "cache"])
    await sh([DOCKER, "rmi", "-f", `local/shop:${service}.${id}`]);
  await sh([DOCKER, "rmi", "-f", image]);
});

test("a build that changes nothing has the same images, and no tag of a build stays in the engine", async () => {
  using box = sandbox();
  const dir = await project(box.join("again"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: BASE,
  });
  const tags = async () => (await sh([DOCKER, "images", "--format", "{{.Repository}}:{{.Tag}}"])).split("\n");
  const before = await tags();
  const first = (await box.json(["build"], { cwd: dir })).id;
  const second = (await box.json(["build"], { cwd: dir })).id;
  const images = async (id: string) => (await box.json(["builds", "info", id], { cwd: dir })).images;
  expect(await images(second)).toEqual(await images(first));
  expect((await tags()).filter((tag) => !before.includes(tag) && tag !== "<none>:<none>")).toEqual([]);
});

test("--development builds that stage, --no-cache runs every step anew, and the git sha is the directory's", async () => {
  using box = sandbox();
  const dir = await project(box.join("dev"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE.replace("scratch", "scratch AS base")}RUN date +%s%N > /stamp\nFROM base AS development\nARG BUILD_DEVELOPMENT\nARG BUILD_GIT_SHA\nRUN echo "dev $BUILD_DEVELOPMENT $BUILD_GIT_SHA" > /what\nFROM base\nRUN echo final > /what\n`,
  });
  for (const args of [
    ["init", "-q"],
    ["add", "."],
    ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "the subject"],
  ])
    await sh(["git", "-C", dir, ...args]);
  const sha = (await sh(["git", "-C", dir, "rev-parse", "HEAD"])).trim();
  const what = async (id: string): Promise<string> => {
    const file = box.join(`${id}.tar`);
    await box.ok(["builds", "export", id, "-f", file], { cwd: dir });
    await sh([DOCKER, "load", "-q", "-i", file]);
    const text = await sh([DOCKER, "run", "--rm", `local/dev:web.${id}`, "cat", "/what", "/stamp"]);
    await sh([DOCKER, "rmi", "-f", `local/dev:web.${id}`]);
    return text;
  };
  const plain = await box.json(["build"], { cwd: dir });
  expect(plain).toMatchObject({ "git-sha": sha, description: `build ${sha.slice(0, 10)} the subject` });
  const [final, stamp] = (await what(plain.id)).split("\n");
  expect(final).toBe("final");
  const dev = await box.json(
    ["build", "--development", "--build-args", "BUILD_DEVELOPMENT", "--build-args", "BUILD_GIT_SHA"],
    { cwd: dir },
  );
  expect((await what(dev.id)).split("\n").slice(0, 2)).toEqual([`dev true ${sha}`, stamp ?? ""]);
  const anew = await box.json(["build", "--no-cache", "--wildcard-domain"], { cwd: dir });
  expect((await what(anew.id)).split("\n")[1]).not.toBe(stamp ?? "");
  expect(anew["wildcard-domain"]).toBe(true);
});

test("--id prints the release id alone, without a line end; the log goes to stderr", async () => {
  using box = sandbox();
  const dir = await project(box.join("ids"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: BASE,
  });
  const { stdout, stderr, code } = await box.run(["build", "--id"], { cwd: dir });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^R[A-Z]{10}$/);
  expect(stderr).toContain("Building: .");
});

test("the app's env reaches declared ARGs, and secrets in it never reach the log", async () => {
  using box = sandbox();
  const dir = await project(box.join("env"), {
    "convox.yml": "services:\n  web:\n    build: .\n    environment:\n      - API_TOKEN\n",
    Dockerfile: `${BASE}ARG API_TOKEN\nRUN echo "token is $API_TOKEN"\n`,
  });
  const before = await box.run(["build"], { cwd: dir });
  expect(before).toMatchObject({ code: 1, stderr: expect.stringContaining("required env: API_TOKEN") });
  await box.ok(["env", "set", "API_TOKEN=t0p-Secret-Value"], { cwd: dir });
  const output = await box.ok(["build"], { cwd: dir });
  expect(output).toContain("token is [REDACTED]");
  expect(output).not.toContain("t0p-Secret-Value");
});

test("the classic builder builds the same project", async () => {
  using box = sandbox();
  const dir = await project(box.join("classic"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG V\nRUN echo $V > /v\n`,
  });
  const output = await box.ok(["build", "--build-args", "V=1"], { cwd: dir, env: { DOCKER_BUILDKIT: "0" } });
  expect(output).toMatch(/Step 1\/\d+/);
  expect(await box.ok(["builds"], { cwd: dir })).toContain("complete");
});

test("an image: service that only the engine has is taken from there, with a warning", async () => {
  using box = sandbox();
  const image = await project(box.join("image"), { Dockerfile: BASE });
  await sh([DOCKER, "build", "-q", "-t", "davit-test-only-here:1", image], {
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  const dir = await project(box.join("local"), {
    "convox.yml": "services:\n  web:\n    image: davit-test-only-here:1\n",
  });
  const output = await box.ok(["build"], { cwd: dir, env: { DAVIT_IDLE_TIMEOUT: "5" } });
  expect(output).toContain("WARNING: davit-test-only-here:1 comes from the engine");
  await sh([DOCKER, "rmi", "davit-test-only-here:1"]);
});

test("an image that somebody else has tagged stays theirs when davit builds the same", async () => {
  using box = sandbox();
  const dir = await project(box.join("theirs"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}RUN echo theirs > /x\n`,
  });
  await sh([DOCKER, "build", "-q", "-t", "davit-test-theirs:1", dir], {
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  await box.ok(["build"], { cwd: dir });
  await sh([DOCKER, "image", "inspect", "davit-test-theirs:1"]);
  await sh([DOCKER, "rmi", "davit-test-theirs:1"]);
});

test("names that a killed davit left in the engine are taken away by the next build; other names stay", async () => {
  using box = sandbox();
  const dir = await project(box.join("sweep"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}RUN echo sweep > /x\n`,
  });
  await sh([DOCKER, "build", "-q", "-t", "davit-build:mine", dir], {
    env: { ...process.env, DOCKER_BUILDKIT: "1" },
  });
  const { boot, namespace } = thisProcess();
  await sh([DOCKER, "tag", "davit-build:mine", `davit-build:${boot}.${namespace}.4194304.1.0123abcd`]);
  await sh([DOCKER, "tag", "davit-build:mine", `davit-build:${ownerText(thisProcess())}.0123abcd`]);
  await box.ok(["build"], { cwd: dir });
  const names = (await sh([DOCKER, "images", "davit-build", "--format", "{{.Tag}}"])).trim().split("\n");
  const kept = ["mine", `${ownerText(thisProcess())}.0123abcd`];
  for (const name of kept) expect(names).toContain(name);
  expect(names).not.toContain(`${boot}.${namespace}.4194304.1.0123abcd`);
  for (const name of kept) await sh([DOCKER, "rmi", `davit-build:${name}`]);
});

test("one changed layer of a large image is taken out of a push, and the image is whole", async () => {
  using box = sandbox();
  const dir = await project(box.join("large"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}RUN head -c 40000000 /dev/urandom > /large && sha256sum /large > /sum\nCOPY app.txt /app.txt\nCMD ["sh", "-c", "sha256sum -c /sum && cat /app.txt"]\n`,
    "app.txt": "one\n",
  });
  await box.ok(["build"], { cwd: dir });
  await Bun.write(`${dir}/app.txt`, "two\n");
  const log = await box.ok(["build"], { cwd: dir });
  expect(log).not.toContain("could not push");
  const streamed = await box.ok(["build", "-r", "local"], { cwd: dir, env: { DAVIT_ENGINE_PUSH: "0" } });
  expect(streamed).toContain("Stored: web");
  const [, { id }] = await box.json(["builds"], { cwd: dir });
  await box.ok(["builds", "export", id, "-f", box.join("b.tar")], { cwd: dir });
  await sh([DOCKER, "load", "-q", "-i", box.join("b.tar")]);
  expect(await sh([DOCKER, "run", "--rm", `local/large:web.${id}`])).toBe("/large: OK\ntwo\n");
  await sh([DOCKER, "rmi", "-f", `local/large:web.${id}`]);
  const tags = await sh([DOCKER, "images", "--format", "{{.Repository}}"]);
  expect(tags).not.toMatch(/^127\.0\.0\.1:\d+\/[0-9a-f-]+\/large$/m);
});
