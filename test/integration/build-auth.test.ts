import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { startRegistry } from "../support/registry.ts";

/* Logins that the rack keeps, in builds. */

const BUILDKIT = { env: { ...process.env, DOCKER_BUILDKIT: "1" } };

test("registries that are added log builds in to pull, whoever runs them", async () => {
  using box = sandbox();
  const user = { name: "me", password: "a-private-password" };
  await using registry = await startRegistry(user);
  const auth = Buffer.from(`${user.name}:${user.password}`).toString("base64");
  await mkdir(box.join("docker"));
  await writeFile(box.join("docker/config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
  const base = `${registry.host}/base:1`;
  const image = await project(box.join("base"), {
    Dockerfile: `${BASE}RUN echo ${crypto.randomUUID()} > /private\n`,
  });
  await sh([DOCKER, "build", "-q", "-t", base, image], BUILDKIT);
  await sh([DOCKER, "push", "-q", base], { env: { ...process.env, DOCKER_CONFIG: box.join("docker") } });
  await sh([DOCKER, "rmi", "-f", base]);
  const dir = await project(box.join("shop"), {
    "convox.yml": `services:\n  web:\n    build: .\n  same:\n    image: ${base}\n`,
    Dockerfile: `FROM ${base}\nRUN cat /private\n`,
  });
  const env = { DOCKER_CONFIG: box.join("none") };
  expect((await box.run(["build"], { cwd: dir, env })).code).toBe(1);
  await box.ok(["registries", "add", `https://${registry.host}/v1/`, "-u", user.name, "--password-stdin"], {
    stdin: user.password,
  });
  expect(await box.json(["registries"])).toEqual([
    { server: `https://${registry.host}/v1/`, username: "me" },
  ]);
  await box.ok(["build"], { cwd: dir, env });
});

test("BUILD_AUTH names every login, Docker Hub's parameters among them, and never reaches the log", async () => {
  using box = sandbox();
  await box.ok(["registries", "add", "registry.example.com", "-u", "ci", "--password-stdin"], {
    stdin: "first-hidden-word",
  });
  await box.ok([
    "rack",
    "params",
    "set",
    "docker_hub_username=hub-me",
    "docker_hub_password=second-hidden-word",
  ]);
  const dir = await project(box.join("shop"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG BUILD_AUTH\nARG NONCE=${crypto.randomUUID()}\nRUN echo "auth $BUILD_AUTH" && echo "$BUILD_AUTH" | wc -c\n`,
  });
  const log = await box.ok(["build", "--build-args", "BUILD_AUTH"], { cwd: dir });
  expect(log).toMatch(/auth \{.*registry\.example\.com.*Username.*ci/);
  expect(log).toMatch(/index\.docker\.io\/v1\/.*hub-me/);
  expect(log).not.toMatch(/hidden-word/);
  const bytes = JSON.stringify({
    "registry.example.com": { Username: "ci", Password: "first-hidden-word" },
    "https://index.docker.io/v1/": { Username: "hub-me", Password: "second-hidden-word" },
  }).length;
  expect(log).toMatch(new RegExp(`^#\\d+ \\d+\\.\\d+ ${bytes + 1}$`, "m"));
  const params = await box.ok(["rack", "params"]);
  expect(params).toMatch(/^docker_hub_password +\*{10}$/m);
});

test("a login of another app reaches no build, and no mask confirms a guess at its password", async () => {
  using box = sandbox();
  await box.ok(["apps", "create", "other"]);
  const add = ["registries", "add", "registry.example.com", "-u", "ci", "--password-stdin"];
  await box.ok([...add, "--for-app", "other"], { stdin: "others-hidden-word" });
  const dir = await project(box.join("shop"), {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG BUILD_AUTH\nARG NONCE=${crypto.randomUUID()}\nRUN echo "others-hidden-word $BUILD_AUTH"\n`,
  });
  const log = await box.ok(["build", "--build-args", "BUILD_AUTH"], { cwd: dir });
  expect(log).toMatch(/ others-hidden-word \{\}$/m);
});
