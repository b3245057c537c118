import { expect, test } from "bun:test";
import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";

/* Secrets of builds: where they get to, and where they must not. */

const LONG = 60_000;
const YML = "services:\n  web:\n    build: .\n";
const TOKEN = "tok-9f8e7d6c5b4a3210-hidden";

async function files(dir: string): Promise<string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map((entry) => `${entry.parentPath}/${entry.name}`);
}

/** Everything that a home holds, and a bundle of the build, searched for a value. */
async function holders(box: ReturnType<typeof sandbox>, id: string, value: string): Promise<string[]> {
  const bundle = box.join("bundle.tar");
  await box.ok(["builds", "export", id, "-a", "shop", "-f", bundle]);
  const all = [...(await files(box.join("home"))), bundle];
  const hits = await Promise.all(
    all.map(async (file) => ((await readFile(file)).includes(value) ? file : "")),
  );
  return hits.filter((file) => file !== "");
}

async function config(
  box: ReturnType<typeof sandbox>,
): Promise<{ config: { Env?: string[] }; history: { created_by?: string }[] }> {
  const bundle = box.join("bundle.tar");
  const [image] = JSON.parse(await sh(["tar", "xOf", bundle, "manifest.json"]));
  return JSON.parse(await sh(["tar", "xOf", bundle, image.Config]));
}

test(
  "a secret is mounted by id, from a file or a variable, and stays nowhere",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nRUN --mount=type=secret,id=token --mount=type=secret,id=FROM_ENV echo "token $(cat /run/secrets/token) $(wc -c < /run/secrets/FROM_ENV)"\n`,
    });
    await writeFile(box.join("token.txt"), TOKEN);
    const { code, stdout, stderr } = await box.run(
      ["build", "--secret", `id=token,src=${box.join("token.txt")}`, "--secret", "id=FROM_ENV", "--json"],
      { cwd: dir, env: { FROM_ENV: "four" } },
    );
    expect([code, stderr]).toEqual([0, expect.stringMatching(/ token \[REDACTED\] 4$/m)]);
    expect(stdout + stderr).not.toContain(TOKEN);
    expect(await holders(box, JSON.parse(stdout).id, TOKEN)).toEqual([]);
  },
  LONG,
);

test(
  "a secret that was not given fails the build by its name, and flags that are no secrets say so without repeating them",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nRUN --mount=type=secret,id=nope,required=true true\n`,
    });
    const failed = await box.run(["build"], { cwd: dir });
    expect(failed.code).toBe(1);
    expect(failed.stderr + failed.stdout).toContain("nope");
    const cases: [string, number, RegExp][] = [
      [TOKEN, 2, /^error: Cannot use --secret: it is not id=ID/],
      [`id=x,value=${TOKEN}`, 2, /^error: Cannot use secret "x": it is not id=ID/],
      ["id=x,src=/nowhere/at/all", 1, /^error: Cannot read secret x: .*no such file/i],
      ["id=x,env=NO_SUCH_VARIABLE", 1, /^error: Cannot read secret x: there is no variable NO_SUCH_VARIABLE/],
    ];
    for (const [flag, code, words] of cases) {
      const result = await box.run(["build", "--secret", flag], { cwd: dir });
      expect([flag, result.code, result.stderr]).toEqual([flag, code, expect.stringMatching(words)]);
      expect(result.stderr).not.toContain(TOKEN);
    }
  },
  LONG,
);

test(
  "BUILD_AUTH is a secret mount too, and as an argument it is taken out of the image's history",
  async () => {
    using box = sandbox();
    await box.ok(["registries", "add", "registry.example.com", "-u", "ci", "--password-stdin"], {
      stdin: TOKEN,
    });
    const dir = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nRUN --mount=type=secret,id=BUILD_AUTH grep -c Username /run/secrets/BUILD_AUTH\nARG BUILD_AUTH\nRUN test -n "$BUILD_AUTH"\n`,
    });
    for (const round of ["first", "again"]) {
      const build = await box.json(["build", "--build-args", "BUILD_AUTH"], { cwd: dir });
      expect([round, await holders(box, build.id, TOKEN)]).toEqual([round, []]);
      const { history } = await config(box);
      expect(history.map((step) => step.created_by ?? "").join("\n")).toMatch(/BUILD_AUTH= /);
      await sh(["skopeo", "inspect", `oci-archive:${box.join("bundle.tar")}:web.${build.id}`]);
    }
  },
  LONG,
);

test(
  "an image that holds a secret in its config is stopped before it enters the rack",
  async () => {
    using box = sandbox();
    await box.ok(["registries", "add", "registry.example.com", "-u", "ci", "--password-stdin"], {
      stdin: TOKEN,
    });
    const dir = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nARG BUILD_AUTH\nENV LEAKED=$BUILD_AUTH\n`,
    });
    const failed = await box.run(["build", "--build-args", "BUILD_AUTH"], { cwd: dir });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toMatch(
      /^error: build failed: the image holds the secret BUILD_AUTH in its config or history$/m,
    );
    expect(failed.stdout + failed.stderr).not.toContain(TOKEN);
    const hits = await Promise.all(
      (await files(box.join("home"))).map(async (file) => (await readFile(file)).includes(TOKEN)),
    );
    expect(hits).not.toContain(true);
  },
  LONG,
);

test(
  "an argument whose name looks like a secret's is warned of",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG API_TOKEN\nARG COLOR\nRUN true\n`,
    });
    const log = await box.ok(
      ["build", "--build-args", "API_TOKEN=abcdefgh1234", "--build-args", "COLOR=blue"],
      { cwd: dir },
    );
    expect(log).toContain("WARNING: build arg API_TOKEN looks like a secret: every step sees it");
    expect(log).not.toContain("build arg COLOR");
    expect(log).not.toContain("abcdefgh1234");
  },
  LONG,
);

test(
  "secrets go to a rack elsewhere for one build, and stay nowhere there",
  async () => {
    using there = sandbox();
    using here = sandbox();
    await there.ok(["apps", "create", "shop"]);
    await using rack = await startRack(there, "local", undefined, ["--log-requests"]);
    const dir = await project(here.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nRUN --mount=type=secret,id=token test "$(cat /run/secrets/token)" = ${TOKEN.slice(0, 4)}* || wc -c < /run/secrets/token\n`,
    });
    const env = { RACK_URL: rack.rackUrl, TOKEN };
    const built = await here.run(["build", "--secret", "id=token,env=TOKEN", "--json"], { cwd: dir, env });
    expect(built.stderr).toMatch(new RegExp(` ${TOKEN.length}$`, "m"));
    expect(built.stdout + built.stderr).not.toContain(TOKEN);
    expect(await holders(there, JSON.parse(built.stdout).id, TOKEN)).toEqual([]);
    const agent = await here.run(["build", "--ssh", `default=${here.join("none")}`], { cwd: dir, env });
    expect([agent.code, agent.stderr]).toEqual([
      1,
      expect.stringMatching(/^error: Cannot lend an ssh agent as default/),
    ]);
  },
  LONG,
);

test(
  "an ssh agent is lent to steps that ask for it, and its keys stay",
  async () => {
    using box = sandbox();
    const socket = box.join("agent.sock");
    const agent = Bun.spawn(["ssh-agent", "-D", "-a", socket], { stdout: "ignore" });
    try {
      await sh(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "a-davit-test", "-f", box.join("key")]);
      const env = { ...process.env, SSH_AUTH_SOCK: socket };
      await sh(["ssh-add", "-q", box.join("key")], { env });
      const dir = await project(box.join("shop"), {
        "convox.yml": YML,
        Dockerfile: `${BASE}COPY root /\nARG NONCE=${crypto.randomUUID()}\nRUN --mount=type=ssh ssh-add -l\n`,
      });
      await copyProgram("/usr/bin/ssh-add", `${dir}/root`);
      const log = await box.ok(["build", "--ssh", "default"], { cwd: dir, env });
      expect(log).toMatch(/ 256 SHA256:\S+ a-davit-test \(ED25519\)$/m);
      const without = await box.run(["build", "--no-cache"], { cwd: dir, env });
      expect(without.code).toBe(1);
      const byKey = await box.ok(["build", "--no-cache", "--ssh", `default=${box.join("key")}`], {
        cwd: dir,
      });
      expect(byKey).toMatch(/ 256 SHA256:\S+ a-davit-test \(ED25519\)$/m);
      await Bun.sleep(200);
      expect(await sh(["pgrep", "-f", "^ssh-agent -a .*/davit-ssh-"]).catch(() => "")).toBe("");
      await sh(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", box.join("key")]);
      const locked = await box.run(["build", "--ssh", `default=${box.join("key")}`], { cwd: dir });
      expect([locked.code, locked.stderr]).toEqual([
        1,
        expect.stringMatching(/^error: Cannot lend \S+ as default: [^\n]+\nhint: /),
      ]);
    } finally {
      agent.kill();
      await agent.exited;
    }
  },
  LONG,
);

test(
  "an engine that keeps its cache to itself says so, and builds",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), { "convox.yml": YML, Dockerfile: BASE });
    await box.ok(["rack", "params", "set", "BuildCache=Yes"]);
    expect(await box.ok(["build"], { cwd: dir })).toContain("WARNING: BuildCache has no effect");
    await box.ok(["apps", "create", "old", "--generation", "1"]);
    expect(await box.ok(["build", "-a", "old"], { cwd: dir })).not.toContain("BuildCache");
  },
  LONG,
);

/** A program and the libraries it needs, at the same paths below another root. */
async function copyProgram(program: string, root: string): Promise<void> {
  const libraries = [...(await sh(["ldd", program])).matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
  for (const path of [program, ...libraries]) {
    await mkdir(`${root}${dirname(path)}`, { recursive: true });
    await cp(path, `${root}${path}`, { dereference: true });
  }
}

test(
  "a builder that opens no sessions is not given a build that needs its secrets",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), { "convox.yml": YML, Dockerfile: BASE });
    const env = { DOCKER_BUILDKIT: "0", TOKEN };
    const refused = await box.run(["build", "--secret", "id=token,env=TOKEN"], { cwd: dir, env });
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(
        /^error: build failed: Cannot give this builder secrets or an ssh agent: it opens no sessions$/m,
      ),
    ]);
  },
  LONG,
);
