import { expect, test } from "bun:test";
import { mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { git, repository, serveHttps, serveSsh } from "../support/git-server.ts";
import { BASE, project } from "../support/projects.ts";

/* Projects that are fetched before they are built. */

const LONG = 60_000;
const TOKEN = "tok-5566778899aabbcc-hidden";

function files(says: string): Record<string, string> {
  return {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG BUILD_GIT_SHA=none\nARG NONCE=${crypto.randomUUID()}\nRUN echo "${says} at $BUILD_GIT_SHA"\n`,
  };
}

/** A repository with a branch, a tag and a project in a directory below. */
async function shop(box: ReturnType<typeof sandbox>) {
  const dir = await project(box.join("source"), files("main"));
  await project(box.join("source/deep/below"), files("below"));
  await symlink("/etc", `${dir}/out`);
  const bare = await repository(box, "shop", dir);
  const first = await git(box, dir, ["rev-parse", "HEAD"]);
  await git(box, dir, ["checkout", "-q", "-b", "feature/x"]);
  await project(dir, files("feature"));
  await git(box, dir, ["commit", "-q", "-a", "-m", "second"]);
  await git(box, dir, ["push", "-q", bare, "feature/x", "HEAD:refs/tags/v1.0"]);
  return { bare, first, second: await git(box, dir, ["rev-parse", "HEAD"]) };
}

test(
  "a private repository over https is built at its HEAD, a branch, a tag, a commit, and a directory below",
  async () => {
    using box = sandbox();
    const { first, second } = await shop(box);
    await using server = await serveHttps(box, `me:${TOKEN}`);
    const env = { GIT_SSL_CAINFO: server.cert };
    const address = `https://me:${TOKEN}@${server.host}/shop.git`;
    const cases: [string, string, string][] = [
      ["", "main", first],
      ["#feature/x", "feature", second],
      ["#v1.0", "feature", second],
      [`#${first}`, "main", first],
      ["#main:deep/below", "below", first],
      ["#:deep/below", "below", first],
    ];
    for (const [hash, says, sha] of cases) {
      const { code, stdout, stderr } = await box.run(
        ["build", `${address}${hash}`, "-a", "shop", "--build-args", "BUILD_GIT_SHA", "--no-cache", "--json"],
        { env },
      );
      expect([hash, code, stderr]).toEqual([
        hash,
        0,
        expect.stringMatching(new RegExp(` ${says} at ${sha}$`, "m")),
      ]);
      expect(JSON.parse(stdout)["git-sha"]).toBe(sha);
      expect(stdout + stderr).not.toContain(TOKEN);
    }
    const wrong = await box.run(["build", address.replace(TOKEN, "another-password"), "-a", "shop"], { env });
    expect([wrong.code, wrong.stderr]).toEqual([
      1,
      expect.stringMatching(/^error: build failed: Cannot fetch the source: /m),
    ]);
    expect(wrong.stderr).not.toContain("another-password");
    const absent = await box.run(["build", `${address}#nothing-of-the-kind`, "-a", "shop"], { env });
    expect(absent.stderr).toMatch(/Cannot fetch the source: .*nothing-of-the-kind/);
    expect((await readdir(tmpdir())).filter((name) => /^davit-(source|git)-/.test(name))).toEqual([]);
    const hits = await sh(["grep", "-rlF", "--binary-files=text", TOKEN, box.join("home")]).catch(() => "");
    expect(hits).toBe("");
  },
  LONG,
);

test(
  "a private repository over ssh is built with a deploy key from the address, or the agent's",
  async () => {
    using box = sandbox();
    const { first } = await shop(box);
    await using server = await serveSsh(box);
    const key = (await readFile(server.key)).toString("base64");
    const known = { HOME: box.join("empty") };
    await mkdir(known.HOME);
    const env = { ...known, SSH_AUTH_SOCK: "", GIT_SSH_COMMAND: undefined };
    const built = await box.run(["build", server.address("shop", key), "-a", "shop", "--json"], { env });
    expect([built.code, built.stderr]).toEqual([0, expect.stringMatching(/ main at none$/m)]);
    expect(JSON.parse(built.stdout)["git-sha"]).toBe(first);
    expect(built.stderr).not.toContain(key.slice(40, 80));
    const without = await box.run(["build", server.address("shop"), "-a", "shop"], { env });
    expect([without.code, without.stderr]).toEqual([1, expect.stringMatching(/Cannot fetch the source: /)]);
  },
  LONG,
);

test(
  "what is no repository over https or ssh, or leads out of one, is refused in one line",
  async () => {
    using box = sandbox();
    await shop(box);
    await using server = await serveHttps(box, "me:pw");
    const env = { GIT_SSL_CAINFO: server.cert };
    const here = `https://me:pw@${server.host}/shop.git`;
    const cases: [string, RegExp][] = [
      ["ext::sh -c touch% /tmp/never", /only https:\/\/ and ssh:\/\/ are fetched/],
      [`file://${box.join("repositories/shop.git")}`, /only https:\/\/ and ssh:\/\/ are fetched/],
      ["git://example.com/x.git", /only https:\/\/ and ssh:\/\/ are fetched/],
      ["http://example.com/x.git", /only https:\/\/ and ssh:\/\/ are fetched/],
      ["https://example.com/x", /requires an extension such as \.git/],
      ["https://example.com/x.rar", /unknown extension: \.rar/],
      ["ssh://-oProxyCommand=x/y.git", /it is no address|Cannot build/],
      [`${here}#--upload-pack=touch`, /is no branch, tag or commit/],
      [`${here}#main:../../x`, /leads out of it/],
      [`${here}#main:/etc`, /leads out of it/],
      [`${here}#main:out`, /Cannot read out: it leads out of the project/],
      [`${here}#main:nowhere`, /Cannot read nowhere: it is not there/],
    ];
    for (const [address, words] of cases) {
      const { code, stderr } = await box.run(["build", address, "-a", "shop"], { env });
      expect([address, code, stderr]).toEqual([address, 1, expect.stringMatching(words)]);
      expect(stderr.match(/^error: /gm)).toHaveLength(1);
    }
    expect((await box.run(["build", "--upload-pack=x", "-a", "shop"])).code).toBe(2);
  },
  LONG,
);

test(
  "a rack builds from an address when its operator allows it, and so does an external build",
  async () => {
    using there = sandbox();
    using here = sandbox();
    const { first } = await shop(there);
    await using server = await serveHttps(there, "me:pw");
    await there.ok(["apps", "create", "shop"]);
    await using rack = await startRack(there, "local", undefined, [], { GIT_SSL_CAINFO: server.cert });
    const address = `https://me:pw@${server.host}/shop.git`;
    const env = { RACK_URL: rack.rackUrl, GIT_SSL_CAINFO: server.cert };
    const refused = await here.run(["build", address, "-a", "shop"], { env });
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/this rack builds from no addresses/),
    ]);
    await there.ok(["rack", "params", "set", "BuildFromUrls=Yes"]);
    for (const flags of [[], ["--external"]]) {
      const { code, stdout, stderr } = await here.run(
        ["build", address, "-a", "shop", "--no-cache", "--json", ...flags],
        {
          env,
        },
      );
      expect([flags, code, stderr]).toEqual([flags, 0, expect.stringMatching(/ main at none$/m)]);
      expect([flags, JSON.parse(stdout).status]).toEqual([flags, "complete"]);
    }
    expect((await there.json(["builds", "-a", "shop"]))[1]["git-sha"]).toBe(first);
  },
  LONG,
);

test(
  "a .tgz or .zip at an address is unpacked and built",
  async () => {
    using box = sandbox();
    const dir = await project(box.join("source"), files("packed"));
    await sh(["tar", "-czf", box.join("shop.tgz"), "-C", dir, "."]);
    await sh(["zip", "-q", "-y", "-r", box.join("shop.zip"), "."], { cwd: dir });
    for (const name of ["bad.tgz", "bad.zip"]) await writeFile(box.join(name), "no archive at all");
    await using server = Object.assign(
      Bun.serve({
        ...{ hostname: "127.0.0.1", port: 0 },
        fetch: (request) => {
          const name = new URL(request.url).pathname.slice(1);
          return ["shop.tgz", "shop.zip", "bad.tgz", "bad.zip"].includes(name)
            ? new Response(Bun.file(box.join(name)))
            : new Response("", { status: 404 });
        },
      }),
      { [Symbol.asyncDispose]: async () => undefined },
    );
    const at = `http://127.0.0.1:${server.port}`;
    for (const name of ["shop.tgz", "shop.zip"])
      expect(await box.ok(["build", `${at}/${name}`, "-a", "shop", "--no-cache"])).toMatch(
        / packed at none$/m,
      );
    for (const [name, words] of [
      ["bad.tgz", /build failed: /],
      ["bad.zip", /build failed: Cannot read the archive: it is no zip/],
      ["none.tgz", /answered 404/],
    ] as const) {
      const failed = await box.run(["build", `${at}/${name}`, "-a", "shop"]);
      expect([name, failed.code, failed.stderr]).toEqual([name, 1, expect.stringMatching(words)]);
    }
    await server.stop(true);
  },
  LONG,
);
