import { Database } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { type Buildkit, startBuildkit } from "../support/buildkitd.ts";
import { sandbox, sh } from "../support/davit.ts";
import { serveSsh } from "../support/git-server.ts";
import { BASE, project } from "../support/projects.ts";
import { freePort, startRegistry } from "../support/registry.ts";

/* Builds by a buildkitd in place of the Docker Engine. */

const LONG = 90_000;
const YML = "services:\n  web:\n    build: .\n";
const TOKEN = "tok-1122334455667788-hidden";

const buildkit = await startBuildkit();
afterAll(async () => await buildkit[Symbol.asyncDispose]());

function env({ address }: Buildkit, more: Record<string, string> = {}) {
  return { BUILDKIT_HOST: address, DOCKER_HOST: "unix:///nowhere", ...more };
}

async function shop(dir: string, more = ""): Promise<string> {
  return await project(dir, {
    "convox.yml": YML,
    Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nRUN echo "made $NONCE" > /made\n${more}COPY . /src\nENTRYPOINT ["/bin/sh", "-c"]\n`,
  });
}

async function verified(box: ReturnType<typeof sandbox>, id: string): Promise<string> {
  const file = box.join(`${id}.tar`);
  await box.ok(["builds", "export", id, "-a", "shop", "-f", file]);
  expect(await box.ok(["verify", file])).toMatch(/^OK, /);
  return file;
}

for (const push of ["1", "0"])
  test(
    `a build by buildkitd is stored whole, ${push === "1" ? "by a push that moves only what is new" : "as an archive where it cannot reach us"}`,
    async () => {
      using box = sandbox();
      const dir = await shop(box.join("shop"));
      await writeFile(`${dir}/large`, crypto.getRandomValues(new Uint8Array(60_000)));
      await writeFile(`${dir}/larger`, Buffer.alloc(40_000_000, crypto.randomUUID()));
      const options = { cwd: dir, env: env(buildkit, { DAVIT_ENGINE_PUSH: push }) };
      const first = await box.json(["build"], options);
      expect(first).toMatchObject({ status: "complete", entrypoint: "/bin/sh -c" });
      await verified(box, first.id);
      const again = await box.json(["build"], options);
      const images = async (id: string) => (await box.json(["builds", "info", id, "-a", "shop"])).images;
      expect(await images(again.id)).toEqual(await images(first.id));
      await writeFile(`${dir}/larger`, "small now");
      const changed = await box.json(["build"], options);
      const file = await verified(box, changed.id);
      expect(await images(changed.id)).not.toEqual(await images(first.id));
      await sh(["skopeo", "inspect", `oci-archive:${file}:web.${changed.id}`]);
    },
    LONG,
  );

test(
  "a step that fails, and a buildkitd that is not there, are told in one line",
  async () => {
    using box = sandbox();
    const dir = await shop(box.join("shop"), "RUN exit 7\n");
    const failed = await box.run(["build"], { cwd: dir, env: env(buildkit) });
    expect(failed).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^error: build failed: process "\/bin\/sh -c exit 7" did not complete successfully: exit code: 7\nhint: /m,
      ),
    });
    const absent = await box.run(["build"], { cwd: dir, env: { BUILDKIT_HOST: "tcp://127.0.0.1:1" } });
    expect(absent).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^error: build failed: Cannot reach buildkitd at tcp:\/\/127\.0\.0\.1:1: .*REFUSED/m,
      ),
    });
    const strange = await box.run(["build"], { cwd: dir, env: { BUILDKIT_HOST: "docker-container://x" } });
    expect(strange.stderr).toContain("it is not unix://, tcp:// or ssh://");
  },
  LONG,
);

test(
  "secrets, and logins for private bases, work as with the engine, and leave no trace",
  async () => {
    using box = sandbox();
    const login = { name: "me", password: TOKEN };
    await using registry = await startRegistry(login);
    const base = `${registry.host}/base:1`;
    const dir = await project(box.join("base"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}RUN echo base > /base\n`,
    });
    const built = await box.json(["build", "-a", "shop"], { cwd: dir, env: env(buildkit) });
    await box.ok(["registries", "add", registry.host, "-u", login.name, "--password-stdin"], {
      stdin: TOKEN,
    });
    const bundle = await verified(box, built.id);
    await sh([
      "skopeo",
      "copy",
      "--dest-tls-verify=false",
      "--dest-creds",
      `me:${TOKEN}`,
      `oci-archive:${bundle}:web.${built.id}`,
      `docker://${base}`,
    ]);
    const shop = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: `FROM ${base}\nARG NONCE=${crypto.randomUUID()}\nRUN --mount=type=secret,id=token test -s /run/secrets/token && cat /base\nARG BUILD_AUTH\nRUN test -n "$BUILD_AUTH"\n`,
    });
    for (const push of ["1", "0"]) {
      const { code, stdout, stderr } = await box.run(
        ["build", "-a", "shop", "--secret", "id=token,env=TOKEN", "--build-args", "BUILD_AUTH", "--json"],
        { cwd: shop, env: env(buildkit, { TOKEN: "a-mounted-secret", DAVIT_ENGINE_PUSH: push }) },
      );
      expect([push, code]).toEqual([push, 0]);
      const file = await verified(box, JSON.parse(stdout).id);
      for (const text of [stdout, stderr, await Bun.file(file).text()])
        expect(text.includes(TOKEN)).toBe(false);
      const hits = await sh(["grep", "-rlF", "--binary-files=text", TOKEN, box.join("home")]).catch(() => "");
      expect(hits).toBe("");
    }
  },
  LONG,
);

test(
  "one image for several platforms is an index that travels whole",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("shop"), {
      "convox.yml": YML,
      Dockerfile: "FROM scratch\nCOPY busybox /bin/\n",
    });
    const build = await box.json(["build", "--platform", "linux/amd64,linux/arm64"], {
      cwd: dir,
      env: env(buildkit),
    });
    const file = await verified(box, build.id);
    const index = JSON.parse(await sh(["skopeo", "inspect", "--raw", `oci-archive:${file}:web.${build.id}`]));
    const platforms = index.manifests.map(
      ({ platform }: { platform: { architecture: string } }) => platform.architecture,
    );
    expect(platforms).toEqual(["amd64", "arm64"]);
    const refused = await box.run(["build", "--platform", "linux"], { cwd: dir });
    expect([refused.code, refused.stderr]).toEqual([2, expect.stringMatching(/it is not like linux\/arm64/)]);
  },
  LONG,
);

test(
  "attestations of how an image was made and what is in it travel with it, and hold no secret",
  async () => {
    using box = sandbox();
    using west = sandbox();
    await using registry = await startRegistry();
    const statement =
      '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"name":"listed-by-a-test"}}';
    const scanner = await project(box.join("scanner"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}COPY scan.sh /scan.sh\nENTRYPOINT ["/bin/sh", "/scan.sh"]\n`,
      "scan.sh": `echo '${statement}' > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"\n`,
    });
    const made = await box.json(["build", "-a", "shop"], { cwd: scanner, env: env(buildkit) });
    const image = `${registry.host}/scanner:1`;
    await sh([
      ...["skopeo", "copy", "--dest-tls-verify=false"],
      ...[`oci-archive:${await verified(box, made.id)}:web.${made.id}`, `docker://${image}`],
    ]);
    const dir = await shop(box.join("shop"));
    const flags = ["--provenance", "mode=max", "--sbom", `generator=${image}`];
    const build = await box.json(["build", ...flags], { cwd: dir, env: env(buildkit) });
    const file = await verified(box, build.id);
    const text = await Bun.file(file).text();
    expect(text).toContain("listed-by-a-test");
    expect(text).toMatch(/"predicateType": ?"https:\/\/slsa\.dev\/provenance/);
    const there = await west.json(["builds", "import", "-a", "shop", "-f", file]);
    expect(there.digest).toBe(build.digest);
    const without = await box.run(["build", ...flags], { cwd: dir, env: { BUILDKIT_HOST: "" } });
    expect([without.code, without.stderr]).toEqual([
      1,
      expect.stringMatching(/Cannot make attestations: the Docker Engine makes none/),
    ]);
    await box.ok(["registries", "add", "r.example.com", "-u", "me", "--password-stdin"], { stdin: TOKEN });
    const leaky = await project(box.join("leaky"), {
      "convox.yml": YML,
      Dockerfile: `${BASE}ARG BUILD_AUTH\nRUN test -n "$BUILD_AUTH"\n`,
    });
    const stopped = await box.run(["build", "-a", "shop", "--build-args", "BUILD_AUTH", ...flags], {
      cwd: leaky,
      env: env(buildkit),
    });
    expect([stopped.code, stopped.stderr]).toEqual([
      1,
      expect.stringMatching(/an attestation of the image holds the secret BUILD_AUTH/),
    ]);
    const hits = await sh(["grep", "-rlF", "--binary-files=text", TOKEN, box.join("home")]).catch(() => "");
    expect(hits).toBe("");
  },
  LONG,
);

test(
  "with BuildCache a fresh buildkitd finds every step made, unless it is told to use none; old caches go",
  async () => {
    using box = sandbox();
    await box.ok(["rack", "params", "set", "BuildCache=Yes", `BuildkitHost=${buildkit.address}`]);
    const dir = await shop(box.join("shop"));
    const steps = (log: string) =>
      log.split("\n").filter((line) => /^#\d+ (CACHED|DONE 0|DONE 1)/.test(line));
    await box.ok(["build"], { cwd: dir });
    await buildkit.forget();
    const cached = await box.ok(["build"], { cwd: dir });
    expect(steps(cached).filter((line) => line.endsWith("CACHED")).length).toBe(4);
    await buildkit.forget();
    const anew = await box.ok(["build", "--no-cache"], { cwd: dir });
    expect(anew).not.toContain("CACHED");
    await buildkit.forget();
    expect(await box.ok(["build"], { cwd: dir })).toMatch(/CACHED/);
    const ledger = new Database(box.join("home/racks/local/ledger.db"));
    const tags = () =>
      ledger.query<{ name: string }, []>("SELECT name FROM tags WHERE name LIKE '%.buildcache'").all().length;
    const digest = () =>
      ledger
        .query<{ digest: string }, []>(
          "SELECT digest FROM tags WHERE app = 'shop' AND name = 'web.buildcache'",
        )
        .get()?.digest;
    const before = digest();
    await box.ok(["rack", "params", "set", "BuildMethod=fargate"]);
    await writeFile(`${dir}/more`, crypto.randomUUID());
    await box.ok(["build", "--no-cache"], { cwd: dir });
    expect(digest()).toBe(before);
    await box.ok(["rack", "params", "set", "BuildMethod=ec2"]);
    await box.ok(["build", "--no-cache"], { cwd: dir });
    expect(digest()).not.toBe(before);
    const age = (days: number) => new Date(Date.now() - days * 86_400_000).toISOString();
    const touch = (when: string) =>
      ledger.run("UPDATE app_facts SET value = ? WHERE app = 'shop' AND name = 'cache web.buildcache'", [
        when,
      ]);
    touch(age(40));
    const other = await shop(box.join("other"));
    await box.ok(["build"], { cwd: other });
    expect(tags()).toBe(2);
    await box.ok(["rack", "params", "set", "BuildCacheCleanup=Yes", "BuildCacheRetentionDays=45"]);
    await box.ok(["build"], { cwd: other });
    expect(tags()).toBe(2);
    await box.ok(["rack", "params", "set", "BuildCacheRetentionDays=30"]);
    await box.ok(["build"], { cwd: other });
    expect(tags()).toBe(1);
    ledger.close();
  },
  LONG,
);

test(
  "a buildkitd over tcp takes those with its certificates, and nobody else",
  async () => {
    using box = sandbox();
    const tls = (name: string) => box.join(`tls/${name}`);
    await project(box.join("tls"), {});
    await sh(["mkdir", "-p", box.join("tls")]);
    const make = async (name: string, subject: string, sign: string[]) => {
      await sh([
        "openssl",
        "req",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        tls(`${name}.key`),
        "-out",
        tls(`${name}.csr`),
        "-subj",
        subject,
      ]);
      await sh([
        "openssl",
        "x509",
        "-req",
        "-in",
        tls(`${name}.csr`),
        "-out",
        tls(`${name}.crt`),
        "-days",
        "2",
        ...sign,
      ]);
    };
    await writeFile(tls("san"), "subjectAltName=IP:127.0.0.1\n");
    await make("ca", "/CN=ca", ["-signkey", tls("ca.key")]);
    for (const name of ["server", "client"])
      await make(name, `/CN=${name}`, [
        "-CA",
        tls("ca.crt"),
        "-CAkey",
        tls("ca.key"),
        "-CAcreateserial",
        "-extfile",
        tls("san"),
      ]);
    const flags = [
      "--tlscacert",
      tls("ca.crt"),
      "--tlscert",
      tls("server.crt"),
      "--tlskey",
      tls("server.key"),
    ];
    await using secured = await startBuildkit(flags, `tcp://127.0.0.1:${await freePort()}`);
    await sh(["mkdir", "-p", box.join("mine")]);
    for (const [from, to] of [
      ["ca.crt", "ca.pem"],
      ["client.crt", "cert.pem"],
      ["client.key", "key.pem"],
    ])
      await sh(["cp", tls(from ?? ""), box.join(`mine/${to}`)]);
    const dir = await shop(box.join("shop"));
    const stranger = await box.run(["build"], { cwd: dir, env: env(secured) });
    expect(stranger.code).toBe(1);
    const build = await box.json(["build"], {
      cwd: dir,
      env: env(secured, { BUILDKIT_TLS_DIR: box.join("mine") }),
    });
    expect(build.status).toBe("complete");
  },
  LONG,
);

test(
  "a buildkitd over ssh is reached through buildctl there, and sends its images as archives",
  async () => {
    using box = sandbox();
    const relay = `const there = require("node:net").connect(process.env.SOCKET); process.stdin.pipe(there).pipe(process.stdout);`;
    await project(box.join("bin"), {
      relay,
      ssh: `#!/bin/sh\nexec /usr/bin/ssh -F ${box.join("ssh-config")} "$@"\n`,
      buildctl: `#!/bin/sh\n[ "$1" = dial-stdio ] && exec ${process.execPath} ${box.join("bin/relay")}\n`,
    });
    await sh(["chmod", "+x", box.join("bin/ssh"), box.join("bin/buildctl")]);
    const socket = buildkit.address.replace("unix://", "");
    await using server = await serveSsh(box, [
      `SetEnv PATH=${box.join("bin")}:/usr/bin:/bin SOCKET=${socket}`,
    ]);
    const known = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n";
    await writeFile(box.join("ssh-config"), `${known}IdentityFile ${server.key}\n`);
    const dir = await shop(box.join("shop"));
    const more = { PATH: `${box.join("bin")}:${process.env["PATH"]}` };
    const build = await box.json(["build"], {
      cwd: dir,
      env: env({ ...buildkit, address: `ssh://${server.host}` }, more),
    });
    expect(build.status).toBe("complete");
    await verified(box, build.id);
  },
  LONG,
);

test(
  "Ctrl-C ends the build there too",
  async () => {
    using box = sandbox();
    const seconds = 1_000_000 + Math.floor(Math.random() * 1_000_000);
    const dir = await shop(box.join("shop"), `RUN sleep ${seconds}\n`);
    const child = box.spawn(["build"], { cwd: dir, env: env(buildkit) });
    const isRunning = async () => (await sh(["pgrep", "-f", `sleep ${seconds}`]).catch(() => "")) !== "";
    for (let tries = 0; tries < 100 && !(await isRunning()); tries++) await Bun.sleep(100);
    expect(await isRunning()).toBe(true);
    child.kill("SIGINT");
    expect(await child.exited).toBe(130);
    for (let tries = 0; tries < 100 && (await isRunning()); tries++) await Bun.sleep(100);
    expect(await isRunning()).toBe(false);
  },
  LONG,
);
