import { expect, test } from "bun:test";
import { chmod, link, mkdir, symlink, writeFile } from "node:fs/promises";
import { openContext } from "../../src/build/context.ts";
import { fileSync } from "../../src/build/file-sync.ts";
import { buildImage } from "../../src/docker-api/build.ts";
import { EngineClient } from "../../src/docker-api/client.ts";
import { EngineSession } from "../../src/docker-api/session.ts";
import { Root } from "../../src/root.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { startRegistry } from "../support/registry.ts";

const ONE = { "convox.yml": "services:\n  web:\n    build: .\n" };
const BUILDKIT = { env: { ...process.env, DOCKER_BUILDKIT: "1" } };

/** The id docker gives an image it builds from a directory; with the same files, all of it is cached. */
async function dockerBuild(dir: string): Promise<string> {
  return (await sh([DOCKER, "build", "-q", dir], BUILDKIT)).trim();
}

/** The config digest of a build's image, which is a classic engine's image id. */
async function imageId(box: ReturnType<typeof sandbox>, dir: string): Promise<string> {
  const { id } = await box.json(["build"], { cwd: dir });
  const file = box.join(`${id}.tar`);
  await box.ok(["builds", "export", id, "-f", file], { cwd: dir });
  const [docker] = JSON.parse(await sh(["tar", "xOf", file, "manifest.json"]));
  return `sha256:${docker.Config.split("/").at(-1)}`;
}

test("a hard tree of files gives the very image docker builds from it", async () => {
  using box = sandbox();
  const dir = await project(box.join("hard"), {
    ...ONE,
    Dockerfile: `${BASE}COPY . /src\nCOPY deep/*.txt /txt/\n`,
    ".dockerignore": "**/*.log\n!keep/*.log\nDockerfile\n.dockerignore\nbusybox2\n",
  });
  for (const path of ["deep/er", "keep", "empty", "ünï cödé"])
    await mkdir(`${dir}/${path}`, { recursive: true });
  for (const path of [
    "deep/a.txt",
    "deep/er/b.txt",
    "deep/x.log",
    "keep/y.log",
    "ünï cödé/💡 file",
    "setuid",
    "plain",
  ])
    await writeFile(`${dir}/${path}`, path);
  await writeFile(`${dir}/large`, Buffer.alloc(3_000_000, "large file "));
  await chmod(`${dir}/setuid`, 0o4755);
  await chmod(`${dir}/keep`, 0o1777);
  await symlink("deep/a.txt", `${dir}/to-file`);
  await symlink("deep", `${dir}/to-dir`);
  await symlink("/nowhere", `${dir}/dangling`);
  await link(`${dir}/plain`, `${dir}/twin`);
  await sh(["mkfifo", `${dir}/pipe`]);
  await sh(["cp", "/bin/true", `${dir}/capable`]);
  await sh(["setcap", "cap_net_bind_service=ep", `${dir}/capable`]);
  const ours = await imageId(box, dir);
  expect(await dockerBuild(dir)).toBe(ours);
  const id = (await box.json(["builds"], { cwd: dir }))[0].id;
  await sh([DOCKER, "load", "-q", "-i", box.join(`${id}.tar`)]);
  const listed = (await sh([DOCKER, "run", "--rm", `local/hard:web.${id}`, "find", "/src", "-type", "f"]))
    .trim()
    .split("\n")
    .sort();
  expect(listed).not.toContain("/src/Dockerfile");
  expect(listed).not.toContain("/src/deep/x.log");
  expect(listed).toContain("/src/keep/y.log");
  await sh([DOCKER, "rmi", "-f", `local/hard:web.${id}`]);
});

/** Builds a directory over a session of the test's own, and counts the bytes of files it sent. */
async function sentBytes(dir: string, piece?: number): Promise<number> {
  let sent = 0;
  const count = (bytes: number): void => {
    sent += bytes;
  };
  const client = await EngineClient.fromEnv(process.env);
  const key = new Bun.CryptoHasher("sha256").update(dir).digest("hex");
  await using session = await EngineSession.open(
    client,
    { name: "test", key },
    {
      "/moby.filesync.v1.FileSync/DiffCopy": fileSync(await openContext(await Root.open(dir), "Dockerfile"), {
        onSent: count,
        piece,
      }),
    },
  );
  const request = {
    dockerfile: "Dockerfile",
    args: {},
    noCache: false,
    version: "2",
    session: session.id,
  } as const;
  for await (const _ of buildImage(client, undefined, request));
  return sent;
}

test("one changed file of many is all that is sent again", async () => {
  using box = sandbox();
  const dir = await project(box.join("many"), { ...ONE, Dockerfile: "FROM scratch\nCOPY . /src\n" });
  for (let i = 0; i < 500; i++) await writeFile(`${dir}/file${i}`, `content ${i} ${"x".repeat(2000)}`);
  expect(await sentBytes(dir)).toBeGreaterThan(1_000_000);
  await writeFile(`${dir}/file7`, "changed");
  expect(await sentBytes(dir)).toBeLessThan(5000);
});

test("messages of 1 MiB get through, which Bun's HTTP/2 alone would stop for ever", async () => {
  using box = sandbox();
  const dir = await project(box.join("big"), { Dockerfile: "FROM scratch\nCOPY big /big\n" });
  const noise = new Uint8Array(24_000_000);
  for (let i = 0; i < noise.length; i += 65_536) crypto.getRandomValues(noise.subarray(i, i + 65_536));
  await writeFile(`${dir}/big`, noise);
  expect(await sentBytes(dir, 1 << 20)).toBeGreaterThan(24_000_000);
}, 60_000);

test("private base images and image: services are pulled with docker's own credentials, and only with them", async () => {
  using box = sandbox();
  const user = { name: "me", password: "pass:word" };
  await using registry = await startRegistry(user);
  const auth = Buffer.from(`${user.name}:${user.password}`).toString("base64");
  await mkdir(box.join("docker"));
  await writeFile(box.join("docker/config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
  const base = `${registry.host}/base:1`;
  const image = await project(box.join("base"), {
    Dockerfile: `${BASE}RUN echo private ${crypto.randomUUID()} > /private\n`,
  });
  await sh([DOCKER, "build", "-q", "-t", base, image], BUILDKIT);
  await sh([DOCKER, "push", "-q", base], { env: { ...process.env, DOCKER_CONFIG: box.join("docker") } });
  await sh([DOCKER, "rmi", "-f", base]);
  const dir = await project(box.join("private"), {
    "convox.yml": `services:\n  web:\n    build: .\n  same:\n    image: ${base}\n`,
    Dockerfile: `FROM ${base}\nRUN cat /private\n`,
  });
  const refused = await box.run(["build"], { cwd: dir, env: { DOCKER_CONFIG: box.join("none") } });
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: build failed: .*(authoriz|401|credentials)/m),
  });
  const output = await box.ok(["build"], { cwd: dir, env: { DOCKER_CONFIG: box.join("docker") } });
  expect(output).toMatch(/^#\d+ \d+\.\d+ private [0-9a-f-]{36}$/m);
  expect(output).toContain("Stored: same sha256:");
  expect(output).not.toContain(auth);
});
