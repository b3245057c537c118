import { afterAll, beforeAll, expect, test } from "bun:test";
import { startBuildkit } from "../support/buildkitd.ts";
import { sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { MARK, startTwoKeys, type TwoKeys } from "../support/two-keys.ts";

/* Two apps of a served rack whose builds share one engine, or one buildkitd: what passes between them. */

let rack: TwoKeys;
const image = `content-test-${crypto.randomUUID().slice(0, 8)}`;
beforeAll(async () => {
  rack = await startTwoKeys();
});
afterAll(async () => {
  await sh(["docker", "rmi", "-f", image]).catch(() => undefined);
  await rack[Symbol.asyncDispose]();
});

let projects = 0;

/** Builds with an app's key; the log, whether it ended well or not. */
async function build(app: "shop" | "evil", files: Record<string, string>, ...args: string[]) {
  const dir = await project(rack.box.join(`project-${++projects}`), files);
  const url = rack.rackUrl.replace(/:\/\/[^@]*@/, `://jwt:${rack[app].token}@`);
  const { code, stderr, stdout } = await rack.box.run(["build", "-a", app, "--progress", "plain", ...args], {
    cwd: dir,
    env: { RACK_URL: url },
  });
  return { code, log: stdout + stderr };
}

const web = (dockerfile: string) => ({
  "convox.yml": "services:\n  web:\n    build: .\n",
  Dockerfile: dockerfile,
});

/** Prints a file backwards: logs mask secrets. */
const BACKWARDS = [...MARK].reverse().join("");

async function attacks(): Promise<void> {
  const id = crypto.randomUUID();
  const cached = web(
    `${BASE}ARG NONCE=\nRUN --mount=type=cache,id=${id},target=/c cat /c/* 2>/dev/null | rev; echo "$NONCE" >> /c/x\n`,
  );
  expect(await build("shop", cached, "--build-args", `NONCE=${MARK}`)).toMatchObject({ code: 0 });
  const again = await build("shop", cached, "--build-args", "NONCE=more");
  expect(again).toMatchObject({ code: 0, log: expect.stringContaining(BACKWARDS) });
  const stolen = await build("evil", cached, "--build-args", "NONCE=other");
  expect(stolen).toMatchObject({ code: 0, log: expect.not.stringContaining(BACKWARDS) });

  const secret = web(
    `${BASE}RUN echo ${id}\nRUN --mount=type=secret,id=word rev /run/secrets/word > /word\nRUN cat /word\n`,
  );
  const words = async (app: "shop" | "evil", word: string) => {
    await Bun.write(rack.box.join(word), word);
    return await build(app, secret, "--secret", `id=word,src=${rack.box.join(word)}`);
  };
  expect(await words("shop", MARK)).toMatchObject({ code: 0, log: expect.stringContaining(BACKWARDS) });
  expect(await words("evil", "poison-poison")).toMatchObject({
    code: 0,
    log: expect.not.stringContaining(BACKWARDS),
  });
}

test("neither cache mounts nor the results of steps pass from one app to another in an engine", attacks);

test("neither do they in a buildkitd", async () => {
  await using buildkit = await startBuildkit();
  if (!buildkit) return;
  await rack.box.ok(["rack", "params", "set", `BuildkitHost=${buildkit.address}`]);
  try {
    await attacks();
  } finally {
    await rack.box.ok(["rack", "params", "set", "BuildkitHost="]);
  }
});

test("no image is taken from the engine of a served rack, by whatever name", async () => {
  const dir = await project(rack.box.join("local"), { Dockerfile: `${BASE}RUN echo ${MARK} > /word\n` });
  await sh(["docker", "build", "-q", "-t", `${image}:latest`, dir], {
    env: { ...process.env, DOCKER_BUILDKIT: "0" },
  });
  const id = (await sh(["docker", "image", "inspect", "-f", "{{.Id}}", image])).trim();
  const hex = id.replace("sha256:", "");
  const theirs = `${rack.host}/shop:web.${rack.has.build}`;
  for (const name of [image, `${image}:latest`, hex.slice(0, 12), hex, id, theirs]) {
    const named = await build("evil", { "convox.yml": `services:\n  web:\n    image: "${name}"\n` });
    expect([name, named.code]).toEqual([name, 1]);
    const from = await build("evil", web(`FROM ${name}\nRUN rev /word\n`));
    expect([name, from.code]).toEqual([name, 1]);
    const copied = await build("evil", web(`${BASE}COPY --from=${name} /word /word\nRUN rev /word\n`));
    expect([name, copied.code]).toEqual([name, 1]);
    expect(named.log + from.log + copied.log).not.toContain(BACKWARDS);
  }
  // Nothing else kept these builds from it.
  expect(await build("evil", web(`${BASE}RUN echo built\n`))).toMatchObject({ code: 0 });
}, 240_000);

test("a build that never ends keeps others waiting for BuildTimeout at most", async () => {
  await rack.box.ok(["rack", "params", "set", "BuildTimeout=5s"]);
  try {
    const endless = web(`${BASE}RUN sleep 600 # ${crypto.randomUUID()}\n`);
    const ended = await Promise.all([build("evil", endless), build("evil", endless)]);
    for (const { code, log } of ended)
      expect([code, log]).toEqual([1, expect.stringContaining("it took longer than 5s")]);
    expect(await build("shop", web(BASE))).toMatchObject({ code: 0 });
  } finally {
    await rack.box.ok(["rack", "params", "set", "BuildTimeout="]);
  }
});

test("a served rack gives no Dockerfile to a frontend that anybody could have written", async () => {
  const { code, log } = await build("evil", web(`# syntax=${image}\n${BASE}`));
  expect([code, log]).toEqual([1, expect.stringContaining("no frontend of docker's own")]);
  const named = web(`${BASE}ARG BUILDKIT_SYNTAX\n`);
  expect((await build("evil", named, "--build-args", `BUILDKIT_SYNTAX=${image}`)).code).toBe(1);
  const own = await build("evil", web(BASE));
  expect(own).toMatchObject({ code: 0 });
});

test("on a rack of one's own an image is taken by its name, and never by the beginning of an id", async () => {
  const id = (await sh(["docker", "image", "inspect", "-f", "{{.Id}}", image])).trim().replace("sha256:", "");
  const take = async (name: string) =>
    await rack.box.run(["build", "-a", "shop", "-r", "local"], {
      cwd: await project(rack.box.join(`own-${++projects}`), {
        "convox.yml": `services:\n  web:\n    image: "${name}"\n`,
      }),
    });
  expect(await take(image)).toMatchObject({ code: 0 });
  for (const length of [2, 12, 64]) expect((await take(id.slice(0, length))).code).toBe(1);
  expect((await take(`sha256:${id}`)).code).toBe(1);
}, 240_000);
