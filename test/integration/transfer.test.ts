import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { bundleOf, sampleBuild } from "../support/bundles.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { peer } from "../support/peers.ts";
import { BASE, project } from "../support/projects.ts";
import { type Served, serve } from "../support/server.ts";

let box: ReturnType<typeof sandbox>;
let server: Served;
let bundle: Uint8Array<ArrayBuffer>;
let index = "";
const env = { DOCKER_CONFIG: "/nonexistent" };

beforeAll(async () => {
  box = sandbox();
  server = await serve(box, ["registry", "serve", box.join("layout")]);
  const build = await sampleBuild(["web", "api"]);
  index = build.index.digest;
  bundle = await bundleOf(build);
  await writeFile(box.join("b.tar"), bundle);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  box[Symbol.dispose]();
});

const ok = (args: string[], stdin?: Uint8Array) => box.ok(args, { env, ...(stdin ? { stdin } : {}) });
const at = (name: string) => `${server.host}/${name}`;
const tags = async (name: string): Promise<string[]> =>
  (await (await fetch(`${server.url}/v2/${name}/tags/list`)).json()).tags;

describe("push", () => {
  test("without a tag every name in the archive becomes one, from a file, a pipe and a directory", async () => {
    await ok(["push", box.join("b.tar"), at("push/file")]);
    await ok(["push", "-", at("push/pipe")], bundle);
    await ok(["pull", at("push/file:BSAMPLEBLD"), "-o", `${box.path}/dir/`]);
    await ok(["push", box.join("dir"), at("push/dir")]);
    for (const name of ["push/file", "push/pipe"])
      expect(await tags(name)).toEqual(["BSAMPLEBLD", "api.BSAMPLEBLD", "web.BSAMPLEBLD"]);
    expect(await tags("push/dir")).toEqual(["BSAMPLEBLD"]);
  });

  test("with a tag the archive's only build gets it, and says its digest", async () => {
    expect(await ok(["push", "-", at("push/tag:v1")], bundle)).toBe(`${at("push/tag")}:v1@${index}\n`);
    const [pushed] = JSON.parse(await ok(["push", box.join("b.tar"), at("push/tag:v2"), "--json"]));
    expect(pushed).toEqual({ repository: at("push/tag"), tag: "v2", digest: index });
    expect(await tags("push/tag")).toEqual(["v1", "v2"]);
  });

  test("with a tag, an archive of several images is a usage error", async () => {
    await ok(["copy", at("push/file:web.BSAMPLEBLD"), `oci:${box.join("two")}:web`]);
    await ok(["copy", at("push/file:api.BSAMPLEBLD"), `oci:${box.join("two")}:api`]);
    const { code, stderr } = await box.run(["push", box.join("two"), at("push/two:v1")], { env });
    expect([code, stderr]).toEqual([2, expect.stringContaining("web, api")]);
  });

  test("--plan says what would move, and moves nothing", async () => {
    const plan = async (name: string) =>
      JSON.parse(await ok(["push", "--plan", "--json", box.join("b.tar"), at(name)]));
    const absent = await plan("push/plan");
    expect(absent).toEqual({ move: expect.any(Number), present: 0, mountable: 0 });
    expect((await fetch(`${server.url}/v2/push/plan/manifests/BSAMPLEBLD`)).status).toBe(404);
    expect(await plan("push/file")).toEqual({ move: 0, present: absent.move, mountable: 0 });
  });

  test("a refused push exits 1 with the registry's own words", async () => {
    const { code, stderr } = await box.run(["push", box.join("b.tar"), `127.0.0.1:1/x`], { env });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: Cannot reach 127\.0\.0\.1:1: /)]);
  });
});

describe("pull", () => {
  test("a build comes out as builds export writes it, and can be imported", async () => {
    await ok(["push", box.join("b.tar"), at("pull/app")]);
    await ok(["pull", at("pull/app:BSAMPLEBLD"), "-o", box.join("p.tar")]);
    const names = (await sh(["tar", "tf", box.join("p.tar")])).split("\n");
    expect(names.slice(0, 3)).toEqual(["oci-layout", "index.json", "manifest.json"]);
    const build = JSON.parse(
      await ok(["builds", "import", "-a", "pulled", "-f", box.join("p.tar"), "--json"]),
    );
    expect(build.digest).toBe(index);
    const direct = JSON.parse(
      await ok(["builds", "import", "-a", "direct", at("pull/app:BSAMPLEBLD"), "--json"]),
    );
    expect(direct.digest).toBe(index);
  });

  test("a file and stdout get the same bytes", async () => {
    await ok(["pull", at("push/file:web.BSAMPLEBLD"), "-o", box.join("w.tar")]);
    const child = box.spawn(["pull", at("push/file:web.BSAMPLEBLD"), "-o", "-"], { env });
    expect(
      Buffer.compare(
        Buffer.from(await new Response(child.stdout).arrayBuffer()),
        await readFile(box.join("w.tar")),
      ),
    ).toBe(0);
  });

  test("what is not there is one line, exit 1, and no file", async () => {
    const { code, stderr } = await box.run(["pull", at("pull/none:v1"), "-o", box.join("none.tar")], { env });
    expect([code, stderr]).toEqual([1, expect.stringContaining("MANIFEST_UNKNOWN")]);
    expect((await readdir(box.path)).filter((name) => name.startsWith("none.tar"))).toEqual([]);
  });
});

describe("copy", () => {
  test("any to any keeps the digest: registry, directory, archive", async () => {
    const digest = (await ok(["copy", at("push/file:web.BSAMPLEBLD"), at("copy/web:v1")])).trim();
    for (const [from, to] of [
      [at("copy/web:v1"), `oci:${box.join("c1")}:v1`],
      [`oci:${box.join("c1")}:v1`, `archive:${box.join("c2.tar")}`],
      [`archive:${box.join("c2.tar")}`, at("copy/again:v1")],
      [at("copy/again:v1"), `archive:${box.join("c3.tar")}:v1`],
    ])
      expect((await ok(["copy", from ?? "", to ?? ""])).trim()).toBe(digest);
  });

  test("within one host blobs are mounted", async () => {
    const plan = JSON.parse(await ok(["copy", "--plan", "--json", at("copy/web:v1"), at("copy/mounted:v1")]));
    expect(plan.mountable).toBeGreaterThan(0);
    expect(plan.move).toBeLessThan(600);
  });

  test("what refers to an image travels along, through archives and directories too", async () => {
    await writeFile(box.join("sbom.json"), "{}");
    await sh([
      peer("oras"),
      "attach",
      "--plain-http",
      "--artifact-type",
      "application/sbom",
      at("copy/web:v1"),
      `${box.join("sbom.json")}:application/json`,
      "--disable-path-validation",
    ]);
    const { manifests } = await (
      await fetch(`${server.url}/v2/copy/web/referrers/${(await inspect("copy/web:v1")).digest}`)
    ).json();
    expect(manifests.length).toBe(1);
    await ok(["copy", at("copy/web:v1"), at("copy/signed:v1")]);
    await ok(["pull", at("copy/signed:v1"), "-o", box.join("signed.tar")]);
    await ok(["push", box.join("signed.tar"), at("copy/fromtar")]);
    await ok(["push", "-", at("copy/frompipe")], await readFile(box.join("signed.tar")));
    await ok(["pull", at("copy/fromtar:v1"), "-o", `${box.path}/signed/`]);
    await ok(["push", box.join("signed"), at("copy/fromdir")]);
    for (const name of ["copy/signed", "copy/fromtar", "copy/frompipe", "copy/fromdir"])
      expect((await inspect(`${name}:v1`)).referrers.map(({ digest }: { digest: string }) => digest)).toEqual(
        [manifests[0].digest],
      );
  });

  test("docker:IMAGE goes into a registry, an archive and back", async () => {
    const dir = await project(box.join("image"), {
      Dockerfile: `${BASE}RUN echo hi > /data\nCMD ["cat", "/data"]\n`,
    });
    const name = `davit-copy-${crypto.randomUUID().slice(0, 8)}:1`;
    await sh([DOCKER, "build", "-q", "-t", name, dir], { env: { ...process.env, DOCKER_BUILDKIT: "1" } });
    await ok(["copy", `docker:${name}`, at("copy/docker:v1")]);
    await ok(["copy", `docker:${name}`, `archive:${box.join("docker.tar")}`]);
    await ok(["verify", box.join("docker.tar")]);
    await sh([DOCKER, "rmi", "-f", name]);
    await ok(["copy", at("copy/docker:v1"), `docker:${name}`]);
    expect(await sh([DOCKER, "run", "--rm", "--network", "none", name])).toBe("hi\n");
    await sh([DOCKER, "rmi", "-f", name]);
  });
});

async function inspect(name: string) {
  return JSON.parse(await ok(["inspect", at(name), "--json"]));
}

describe("archives of others", () => {
  test("docker save, gzip or zstd around it, podman's and crane's are pushed from a pipe and imported", async () => {
    const dir = await project(box.join("foreign"), { Dockerfile: `${BASE}CMD ["true"]\n` });
    const name = "example.test/team/web:1";
    await sh([DOCKER, "build", "-q", "-t", name, dir], { env: { ...process.env, DOCKER_BUILDKIT: "1" } });
    await sh([DOCKER, "save", "-o", box.join("save.tar"), name]);
    await sh([DOCKER, "rmi", "-f", name]);
    await sh(["gzip", "-k", "-1", box.join("save.tar")]);
    await sh(["zstd", "-q", "-k", box.join("save.tar")]);
    const digests = new Set<string>();
    for (const file of ["save.tar", "save.tar.gz", "save.tar.zst"]) {
      digests.add(
        (await ok(["push", "-", at("foreign/web:v1")], await readFile(box.join(file)))).split("@")[1] ?? "",
      );
      await ok(["push", box.join(file), at("foreign/file")]);
    }
    expect(digests.size).toBe(1);
    expect(await tags("foreign/file")).toEqual(["1"]);
    await ok(["copy", at("foreign/web:v1"), `archive:${box.join("oci.tar")}:v1`]);
    await sh([
      "skopeo",
      "copy",
      "-q",
      `oci-archive:${box.join("oci.tar")}:v1`,
      `docker-archive:${box.join("skopeo.tar")}:example.test/web:2`,
    ]);
    await ok(["push", box.join("skopeo.tar"), at("foreign/skopeo")]);
    await sh([peer("crane"), "pull", "--insecure", at("foreign/web:v1"), box.join("crane.tar")]);
    await ok(["push", box.join("crane.tar"), at("foreign/crane:v1")]);
    const build = JSON.parse(
      await ok(["builds", "import", "-a", "foreign", "--json"], await readFile(box.join("save.tar"))),
    );
    expect(build).toMatchObject({
      status: "complete",
      manifest: expect.stringContaining("services:\n  web:\n"),
    });
  });

  test("a Convox v3 archive goes out and comes in, with equal images", async () => {
    const build = JSON.parse(
      await ok(["builds", "import", "-a", "convox", "-f", box.join("b.tar"), "--json"]),
    );
    await ok(["builds", "export", build.id, "-a", "convox", "--format", "convox", "-f", box.join("v3.tgz")]);
    const names = (await sh(["tar", "tzf", box.join("v3.tgz")])).trim().split("\n");
    expect(names).toEqual(["build.json", `api.${build.id}.tar`, `web.${build.id}.tar`]);
    const before = JSON.parse(await ok(["builds", "info", build.id, "-a", "convox", "--json"]));
    // The sample's manifest has one service only; a v3 archive may hold more.
    const again = JSON.parse(
      await ok(["builds", "import", "-a", "convox2", "-f", box.join("v3.tgz"), "--json"]),
    );
    const after = JSON.parse(await ok(["builds", "info", again.id, "-a", "convox2", "--json"]));
    expect(after.images).toEqual(before.images);
    expect(after).toMatchObject({ description: "a sample", entrypoint: "/bin/sh -c" });
    await mkdir(box.join("v3"));
    await sh(["tar", "xzf", box.join("v3.tgz"), "-C", box.join("v3")]);
    await sh(["skopeo", "inspect", "--raw", `oci-archive:${box.join("v3")}/web.${build.id}.tar`]);
  });

  test("a Convox v2 archive, one docker archive for all services, comes in", async () => {
    const dir = await project(box.join("v2image"), { Dockerfile: `${BASE}CMD ["true"]\n` });
    const name = "example.test/shop:web.BAAAAAAAAAA";
    await sh([DOCKER, "build", "-q", "-t", name, dir], { env: { ...process.env, DOCKER_BUILDKIT: "1" } });
    await mkdir(box.join("v2"));
    await sh([DOCKER, "save", "-o", box.join("v2/shop.BAAAAAAAAAA.tar"), name]);
    await sh([DOCKER, "rmi", "-f", name]);
    const json = {
      id: "BAAAAAAAAAA",
      app: "shop",
      description: "old",
      manifest: "services:\n  web:\n    build: .\n",
    };
    await writeFile(box.join("v2/build.json"), JSON.stringify(json));
    await sh(["tar", "czf", box.join("v2.tgz"), "-C", box.join("v2"), "build.json", "shop.BAAAAAAAAAA.tar"]);
    const build = JSON.parse(await ok(["builds", "import", "-a", "v2", "-f", box.join("v2.tgz"), "--json"]));
    expect(build).toMatchObject({ status: "complete", description: "old", manifest: json.manifest });
    await writeFile(
      box.join("v2/build.json"),
      JSON.stringify({ ...json, manifest: `${json.manifest}  worker:\n    build: .\n` }),
    );
    await sh(["tar", "czf", box.join("v2.tgz"), "-C", box.join("v2"), "build.json", "shop.BAAAAAAAAAA.tar"]);
    const short = await box.run(["builds", "import", "-a", "v2", "-f", box.join("v2.tgz")], { env });
    expect([short.code, short.stderr]).toEqual([1, expect.stringContaining("no image for service worker")]);
  });
});

describe("bundles that travel", () => {
  const imported = async (app: string, seed: string) => {
    const bytes = await bundleOf(await sampleBuild(["web", "api"], seed));
    return JSON.parse(await ok(["builds", "import", "-a", app, "--json"], bytes));
  };
  const exported = async (args: string[]): Promise<Uint8Array<ArrayBuffer>> => {
    const child = box.spawn(["builds", "export", ...args], { env });
    const bytes = new Uint8Array(await new Response(child.stdout).arrayBuffer());
    expect(await child.exited).toBe(0);
    return bytes;
  };

  test("several builds are one bundle, all of them or none", async () => {
    const [one, two] = [await imported("many", "first"), await imported("many", "second")];
    const bytes = await exported([one.id, two.id, "-a", "many"]);
    const builds = JSON.parse(await ok(["builds", "import", "-a", "many2", "--json"], bytes));
    expect(builds.map(({ digest }: { digest: string }) => digest)).toEqual([one.digest, two.digest]);
    const releases = JSON.parse(await ok(["releases", "-a", "many2", "--json"]));
    expect(releases.length).toBe(2);
    const cut = await box.run(["builds", "import", "-a", "many3"], {
      env,
      stdin: bytes.slice(0, bytes.byteLength - 3000),
    });
    expect(cut.code).toBe(1);
    expect(JSON.parse(await ok(["builds", "-a", "many3", "--json"]))).toEqual([]);
  });

  test("a thin bundle leaves out what the reader has, and is refused where the base is missing", async () => {
    const base = await imported("thin", "base");
    const next = await imported("thin", "next");
    const whole = await exported([next.id, "-a", "thin"]);
    expect(
      (await ok(["builds", "import", "-a", "far"], await exported([base.id, "-a", "thin"]))).includes("OK"),
    ).toBe(true);
    await writeFile(box.join("have.txt"), await ok(["builds", "have", "-a", "far"]));
    for (const how of [
      ["--since", base.id],
      ["--have", box.join("have.txt")],
    ]) {
      const thin = await exported([next.id, "-a", "thin", ...how]);
      expect(thin.byteLength).toBeLessThan(whole.byteLength);
      const build = JSON.parse(await ok(["builds", "import", "-a", "far", "--json"], thin));
      expect(build.digest).toBe(next.digest);
      const { code, stderr } = await box.run(["builds", "import", "-a", `empty${how.length}`], {
        env,
        stdin: thin,
      });
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/leaves out \d+ blobs, and \d+ of them are not here/),
      ]);
    }
  });

  test("--split writes volumes with a checksum file; import takes the first, or all joined", async () => {
    const big = await bundleOf(await sampleBuild(["web"], "x".repeat(200_000)));
    const build = JSON.parse(await ok(["builds", "import", "-a", "split", "--json"], big));
    await ok(["builds", "export", build.id, "-a", "split", "-f", box.join("s.tar"), "--split", "64k"]);
    const volumes = (await readdir(box.path)).filter((name) => name.startsWith("s.tar.")).sort();
    expect(volumes.slice(0, 2)).toEqual(["s.tar.001", "s.tar.002"]);
    await sh(["sha256sum", "--quiet", "-c", "s.tar.sha256"], { cwd: box.path });
    expect(
      JSON.parse(await ok(["builds", "import", "-a", "split2", "-f", box.join("s.tar.001"), "--json"]))
        .digest,
    ).toBe(build.digest);
    const joined = await Promise.all(
      volumes.filter((name) => /\.\d{3}$/.test(name)).map((name) => readFile(box.join(name))),
    );
    expect(
      JSON.parse(await ok(["builds", "import", "-a", "split3", "--json"], Buffer.concat(joined))).digest,
    ).toBe(build.digest);
    await writeFile(box.join("s.tar.002"), "damaged");
    const { code, stderr } = await box.run(
      ["builds", "import", "-a", "split4", "-f", box.join("s.tar.001")],
      { env },
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining("error: ")]);
  });

  test("builds go to a registry and come from one, and from rack to rack, moving only what is missing", async () => {
    await ok(["racks", "add", "west"]);
    const build = await imported("travel", "travels");
    await ok(["builds", "export", build.id, "-a", "travel", "--to", at("travel/app")]);
    expect(await tags("travel/app")).toEqual([build.id, `api.${build.id}`, `web.${build.id}`]);
    const back = JSON.parse(
      await ok(["builds", "import", "-a", "travel", "-r", "west", at(`travel/app:${build.id}`), "--json"]),
    );
    expect(back.digest).toBe(build.digest);
    const other = await imported("travel", "travels too");
    const plan = () => ok(["builds", "copy", other.id, "-a", "travel", "--to", "west", "--plan", "--json"]);
    expect(JSON.parse(await plan()).move).toBeGreaterThan(0);
    const copied = JSON.parse(
      await ok(["builds", "copy", other.id, "-a", "travel", "--to", "west", "--json"]),
    );
    expect(copied.digest).toBe(other.digest);
    expect(JSON.parse(await plan()).move).toBe(0);
  });

  test("--expect-digest refuses anything else", async () => {
    await ok(["builds", "import", "-a", "expected", "--expect-digest", index], bundle);
    const other = `sha256:${"0".repeat(64)}`;
    const { code, stderr } = await box.run(
      ["builds", "import", "-a", "unexpected", "--expect-digest", other],
      { env, stdin: bundle },
    );
    expect([code, stderr]).toEqual([1, expect.stringContaining(`expected is ${other}`)]);
    expect(JSON.parse(await ok(["builds", "-a", "unexpected", "--json"]))).toEqual([]);
  });
});

describe("verify", () => {
  test("passes a whole archive through and fails at the end of a damaged one", async () => {
    const run = async (bytes: Uint8Array<ArrayBuffer>) => {
      const child = box.spawn(["verify", "-"], { env, stdin: bytes });
      const [out, stderr, code] = await Promise.all([
        new Response(child.stdout).bytes(),
        new Response(child.stderr).text(),
        child.exited,
      ]);
      return { code, stderr, same: Buffer.compare(Buffer.from(out), Buffer.from(bytes)) === 0 };
    };
    expect(await run(bundle)).toMatchObject({
      code: 0,
      same: true,
      stderr: expect.stringContaining("OK, 14 blobs"),
    });
    const damaged = bundle.slice();
    damaged[damaged.byteLength - 1600] = (damaged[damaged.byteLength - 1600] ?? 0) ^ 1;
    expect(await run(damaged)).toMatchObject({
      code: 1,
      same: true,
      stderr: expect.stringMatching(/^error: /),
    });
  });
});

describe("logins", () => {
  test("a login is tried, kept where docker keeps it, used, and forgotten", async () => {
    await using guarded = await serve(box, ["registry", "serve", box.join("guarded"), "--password-stdin"], {
      stdin: "long-enough\n",
    });
    const config = { DOCKER_CONFIG: box.join("docker") };
    const login = (password: string) =>
      box.run(["registries", "login", guarded.host, "-u", "me", "--password-stdin"], {
        env: config,
        stdin: password,
      });
    expect(await login("wrong")).toMatchObject({ code: 1, stderr: expect.stringContaining("answered 401") });
    expect(await login("long-enough")).toMatchObject({ code: 0 });
    await box.ok(["push", box.join("b.tar"), `${guarded.host}/app`], { env: config });
    await box.ok(["registries", "logout", guarded.host], { env: config });
    const refused = await box.run(["push", box.join("b.tar"), `${guarded.host}/app`], { env: config });
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringContaining(`davit registries login ${guarded.host}`),
    ]);
    const { code, stderr } = await box.run(["registries", "login", guarded.host, "-u", "me"], {
      env: config,
    });
    expect([code, stderr]).toEqual([2, expect.stringContaining("--password-stdin")]);
  });

  test("registries check says what a registry can do", async () => {
    const { findings } = JSON.parse(await ok(["registries", "check", at("scratch"), "--json"]));
    expect(findings.filter(({ ok: fine }: { ok: boolean }) => !fine)).toEqual([]);
    expect(findings.map(({ what }: { what: string }) => what)).toContain("referrers");
  });
});
