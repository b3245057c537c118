import { expect, test } from "bun:test";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { bigArchive } from "../support/big-archive.ts";
import { sampleBundle } from "../support/bundles.ts";
import { DOCKER, sandbox, sh } from "../support/davit.ts";
import { peer } from "../support/peers.ts";
import { BASE, project } from "../support/projects.ts";
import { startRegistry } from "../support/registry.ts";
import { CutProxy } from "../support/relay.ts";
import { type Served, serve } from "../support/server.ts";

const CONFORMANCE = resolve(import.meta.dir, "../fixtures/conformance.yaml");

/** Runs the OCI conformance suite with every switch on; the counts it reports. */
async function conformance(
  dir: string,
  host: string,
  repositories: [string, string],
  login = "",
): Promise<string> {
  await mkdir(dir, { recursive: true });
  const config = (await readFile(CONFORMANCE, "utf8"))
    .replace("conformance/one", repositories[0])
    .replace("conformance/two", repositories[1]);
  await writeFile(`${dir}/config.yaml`, `registry: ${host}\n${login}${config}`);
  const suite = Bun.spawn([peer("conformance")], {
    cwd: dir,
    env: { ...process.env, OCI_CONFIGURATION: "config.yaml" },
    stdout: "pipe",
    stderr: "ignore",
  });
  const text = await new Response(suite.stdout).text();
  await suite.exited;
  const count = (what: string) => new RegExp(`^ *${what}\\.+: +(\\d+)$`, "m").exec(text)?.[1];
  const failed = text.split("\n").filter((line) => /: (FAIL|Skip|Error)$/.test(line));
  return [
    `failed ${count("FAIL")}, skipped ${count("Skip")}, errors ${count("Error")}, disabled ${count("Disabled")}`,
    ...failed.slice(0, 20),
  ].join("\n");
}

const PERFECT = "failed 0, skipped 0, errors 0, disabled 0";

test("a served layout directory passes the OCI conformance suite with every switch on", async () => {
  using box = sandbox();
  await using server = await serve(box, ["registry", "serve", box.join("layout")]);
  const verdict = await conformance(box.join("suite"), server.host, ["conformance/one", "conformance/two"]);
  expect(verdict).toBe(PERFECT);
});

test("so does a rack, behind its password", async () => {
  using box = sandbox();
  for (const app of ["one", "two"]) await box.ok(["apps", "create", app]);
  await using server = await serve(box, ["rack", "start", "--password-stdin"], { stdin: "s3cret-enough\n" });
  const login = "username: anyone\npassword: s3cret-enough\n";
  const verdict = await conformance(box.join("suite"), server.host, ["one", "two"], login);
  expect(verdict).toBe(PERFECT);
});

async function image(box: ReturnType<typeof sandbox>): Promise<string> {
  const dir = await project(box.join("image"), {
    Dockerfile: `${BASE}RUN echo hello > /data\nCMD ["cat", "/data"]\n`,
  });
  const name = `davit-test-${crypto.randomUUID().slice(0, 8)}`;
  await sh([DOCKER, "build", "-q", "-t", name, dir], { env: { ...process.env, DOCKER_BUILDKIT: "1" } });
  return name;
}

/** What each peer does to push an image, and to pull it into somewhere new. Needs what docker saved as `saved`. */
function peers(box: ReturnType<typeof sandbox>, { host }: Served, saved: string): Record<string, string[][]> {
  const at = (name: string) => `${host}/team/${name}:v1`;
  const vfs = ["--root", box.join("podman"), "--runroot", box.join("podman-run"), "--storage-driver", "vfs"];
  const [crane, regctl, oras] = [peer("crane"), peer("regctl"), peer("oras")];
  return {
    skopeo: [
      ["skopeo", "copy", "--dest-tls-verify=false", `docker-archive:${saved}`, `docker://${at("skopeo")}`],
      ["skopeo", "copy", "--src-tls-verify=false", `docker://${at("skopeo")}`, `dir:${box.join("skopeo")}`],
    ],
    podman: [
      ["podman", ...vfs, "load", "-q", "-i", saved],
      ["podman", ...vfs, "push", "-q", "--tls-verify=false", "example.test/saved:v1", at("podman")],
      ["podman", ...vfs, "rmi", "-f", "example.test/saved:v1"],
      ["podman", ...vfs, "pull", "-q", "--tls-verify=false", at("podman")],
    ],
    buildah: [
      ["buildah", ...vfs, "pull", "-q", `docker-archive:${saved}`],
      [
        "buildah",
        ...vfs,
        "push",
        "-q",
        "--tls-verify=false",
        "example.test/saved:v1",
        `docker://${at("buildah")}`,
      ],
      ["buildah", ...vfs, "pull", "-q", "--tls-verify=false", at("buildah")],
    ],
    crane: [
      [crane, "push", "--insecure", saved, at("crane")],
      [crane, "pull", "--insecure", at("crane"), box.join("crane.tar")],
      [crane, "validate", "--insecure", "--remote", at("crane")],
    ],
    regctl: [
      [regctl, "image", "copy", "--host", `reg=${host},tls=disabled`, at("skopeo"), at("regctl")],
      [regctl, "image", "export", "--host", `reg=${host},tls=disabled`, at("regctl"), box.join("regctl.tar")],
    ],
    oras: [
      [oras, "copy", "--from-plain-http", "--to-plain-http", at("skopeo"), at("oras")],
      [oras, "push", "--plain-http", "--disable-path-validation", at("file"), `${saved}:application/x-tar`],
      [oras, "pull", "--plain-http", "--allow-path-traversal", "-o", box.join("oras"), at("file")],
    ],
  };
}

test("docker, skopeo, podman, buildah, crane, regctl and oras push and pull through it", async () => {
  using box = sandbox();
  await using server = await serve(box, ["registry", "serve", box.join("layout")]);
  const name = await image(box);
  const saved = box.join("saved.tar");
  await sh([DOCKER, "tag", name, "example.test/saved:v1"]);
  await sh([DOCKER, "save", "-o", saved, "example.test/saved:v1"]);
  await sh([DOCKER, "tag", name, `${server.host}/team/docker:v1`]);
  await sh([DOCKER, "push", "-q", `${server.host}/team/docker:v1`]);
  await sh([DOCKER, "rmi", "-f", `${server.host}/team/docker:v1`, name, "example.test/saved:v1"]);
  await sh([DOCKER, "pull", "-q", `${server.host}/team/docker:v1`]);
  expect(await sh([DOCKER, "run", "--rm", "--network", "none", `${server.host}/team/docker:v1`])).toBe(
    "hello\n",
  );
  await sh([DOCKER, "rmi", "-f", `${server.host}/team/docker:v1`]);
  const tools = peers(box, server, saved);
  for (const commands of Object.values(tools))
    for (const command of commands) await sh(command, { env: { ...process.env, HOME: box.path } });
  const { repositories } = await (await fetch(`${server.url}/v2/_catalog`)).json();
  for (const tool of ["docker", ...Object.keys(tools)]) expect(repositories).toContain(`team/${tool}`);
});

test("what was acknowledged is there after kill -9, and an upload goes on where it stood", async () => {
  using box = sandbox();
  const layout = box.join("layout");
  let location = "";
  {
    await using server = await serve(box, ["registry", "serve", layout]);
    const start = await fetch(`${server.url}/v2/app/blobs/uploads/`, { method: "POST" });
    location = start.headers.get("location") ?? "";
    const patch = await fetch(server.url + location, { method: "PATCH", body: "first, " });
    expect(patch.headers.get("range")).toBe("0-6");
    await server.kill("SIGKILL");
  }
  await using server = await serve(box, ["registry", "serve", layout]);
  const status = await fetch(server.url + location);
  expect([status.status, status.headers.get("range")]).toEqual([204, "0-6"]);
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update("first, second").digest("hex")}`;
  const put = await fetch(`${server.url}${location}?digest=${digest}`, { method: "PUT", body: "second" });
  expect(put.status).toBe(201);
  expect(await (await fetch(`${server.url}/v2/app/blobs/${digest}`)).text()).toBe("first, second");
});

test("a rack that is served is joined by the commands beside it: what they import is there to pull", async () => {
  using box = sandbox();
  await using server = await serve(box, ["rack", "start", "--password-stdin"], { stdin: "s3cret-enough\n" });
  const build = JSON.parse(
    await box.ok(["builds", "import", "-a", "shop", "--json"], { stdin: await sampleBundle(["web"]) }),
  );
  const authorization = `Basic ${Buffer.from("x:s3cret-enough").toString("base64")}`;
  const get = (path: string) => fetch(`${server.url}/v2/shop/${path}`, { headers: { authorization } });
  expect((await get(`manifests/${build.digest}`)).headers.get("docker-content-digest")).toBe(build.digest);
  expect(await (await get("tags/list")).json()).toEqual({ name: "shop", tags: [`web.${build.id}`] });
  await box.ok(["builds", "delete", build.id, "-a", "shop", "--yes"]);
  expect((await get(`manifests/${build.digest}`)).status).toBe(404);
  const wrong = { authorization: `Basic ${Buffer.from("x:wrong").toString("base64")}` };
  const tries = await Promise.all(
    Array.from({ length: 9 }, () => fetch(`${server.url}/v2/`, { headers: wrong })),
  );
  expect(tries.map(({ status }) => status).sort()).toEqual([401, 401, 401, 401, 401, 429, 429, 429, 429]);
});

test("a layout that another tool has changed is taken over at the next start", async () => {
  using box = sandbox();
  const layout = box.join("shop");
  await box.ok(["copy", `archive:${await bundleFile(box)}:web.BSAMPLEBLD`, `oci:${layout}:v1`]);
  {
    await using server = await serve(box, ["registry", "serve", layout]);
    expect((await fetch(`${server.url}/v2/shop/manifests/v1`)).status).toBe(200);
    await box.ok(["push", box.join("b.tar"), `${server.host}/team/app`]);
  }
  const index = JSON.parse(await readFile(`${layout}/index.json`, "utf8"));
  const names = index.manifests.map(
    (entry: { annotations: Record<string, string> }) =>
      entry.annotations["org.opencontainers.image.ref.name"],
  );
  expect(names).toContain("shop:v1");
  expect(names).toContain("team/app:web.BSAMPLEBLD");
  index.manifests = index.manifests.filter((_: unknown, i: number) => names[i] !== "shop:v1");
  await writeFile(`${layout}/index.json`, JSON.stringify(index));
  await using server = await serve(box, ["registry", "serve", layout]);
  expect((await fetch(`${server.url}/v2/shop/manifests/v1`)).status).toBe(404);
  expect((await fetch(`${server.url}/v2/team/app/manifests/web.BSAMPLEBLD`)).status).toBe(200);
});

async function bundleFile(box: ReturnType<typeof sandbox>): Promise<string> {
  await writeFile(box.join("b.tar"), await sampleBundle(["web"]));
  return box.join("b.tar");
}

test("a second server on one directory is refused, and told which process has it", async () => {
  using box = sandbox();
  await using server = await serve(box, ["registry", "serve", box.join("layout")]);
  const second = await box.run(["registry", "serve", box.join("layout"), "--listen", "127.0.0.1:0"]);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain(`process ${server.pid} serves it already`);
});

test("other addresses need a password; browsers and strange host names are turned away", async () => {
  using box = sandbox();
  const open = await box.run(["registry", "serve", box.join("open"), "--listen", "0.0.0.0:0"]);
  expect([open.code, open.stderr]).toEqual([1, expect.stringContaining("without a password")]);
  await using server = await serve(box, ["registry", "serve", box.join("layout")]);
  const status = async (headers: Record<string, string>) =>
    (await fetch(`${server.url}/v2/`, { headers })).status;
  expect(await status({})).toBe(200);
  expect(await status({ host: "evil.example" })).toBe(421);
  expect(await status({ origin: "https://evil.example" })).toBe(403);
});

test("a link that never carries a whole layer is enough for a registry that loses what breaks", async () => {
  using box = sandbox();
  await using registry = await startRegistry();
  const archive = box.join("image.tar");
  for (const [seed, source] of [
    [1, "-"],
    [2, archive],
  ] as const) {
    const bytes = await bigArchive(archive, [24_000_000], seed);
    await using proxy = await new CutProxy(registry.host, 20_000_000).listen();
    const stdin = source === "-" ? { stdin: Bun.file(archive) } : {};
    await box.ok(["push", source, `${proxy.host}/cut/image${seed}:v1`], stdin);
    expect(proxy.up / bytes).toBeLessThan(1.01);
  }
});
