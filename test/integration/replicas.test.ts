import { afterAll, beforeAll, expect, test } from "bun:test";
import { digestOf } from "../../src/oci/digest.ts";
import { PASSWORD, startRack } from "../support/convox.ts";
import { sandbox, sh } from "../support/davit.ts";
import { PostgresServer } from "../support/postgres.ts";
import { BASE, project } from "../support/projects.ts";
import { startRegistry } from "../support/registry.ts";
import { Relay } from "../support/relay.ts";

/* Two servers of one rack: its ledger in PostgreSQL, its content in a registry, nothing on a disk they share. */

const LONG = 120_000;
const KEY = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64");
const LOGIN = { authorization: `Basic ${Buffer.from(`convox:${PASSWORD}`).toString("base64")}` };

let postgres: PostgresServer;
let registry: Awaited<ReturnType<typeof startRegistry>>;
let prefixes = 0;
beforeAll(async () => {
  [postgres, registry] = await Promise.all([PostgresServer.start(), startRegistry()]);
});
afterAll(async () => {
  await postgres[Symbol.asyncDispose]();
  await registry[Symbol.asyncDispose]();
});

/** Two servers, each in a home of its own, and a client that reaches them by one address. */
async function replicas() {
  const env = { DAVIT_DATABASE_URL: await postgres.database(), DAVIT_KEY: KEY };
  const homes = [sandbox(), sandbox()] as const;
  const start = (home: (typeof homes)[number]) => startRack(home, "east", PASSWORD, [], env);
  const servers = [await start(homes[0]), await start(homes[1])] as const;
  const address = await new Relay(...servers.map(({ host }) => host)).listen();
  const here = sandbox();
  await here.ok(["racks", "add", "east", `http://${address.host}`, "--password-stdin"], { stdin: PASSWORD });
  const prefix = `${registry.host}/team${++prefixes}`;
  const client = { env: { DAVIT_RACK: "east" } };
  await here.ok(["rack", "params", "set", `Registry=${prefix}`], client);
  await here.ok(["apps", "create", "shop"], client);
  return {
    ...{ address, prefix, here, client, homes, env },
    urls: servers.map(({ url }) => url) as [string, string],
    servers,
    ok: (args: string[], options: Parameters<typeof here.ok>[1] = {}) =>
      here.ok(args, { ...client, ...options }),
    json: (args: string[], options: Parameters<typeof here.ok>[1] = {}) =>
      here.json(args, { ...client, ...options }),
    [Symbol.asyncDispose]: async () => {
      await address[Symbol.asyncDispose]();
      for (const server of servers) await server[Symbol.asyncDispose]();
      for (const home of [...homes, here]) home[Symbol.dispose]();
    },
  };
}

function shop(dir: string, slow = ""): Promise<string> {
  return project(dir, {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}ARG NONCE=${crypto.randomUUID()}\nRUN echo one${slow}; echo two\n`,
  });
}

test(
  "a build started on one is followed on the other, and its image is pulled from both",
  async () => {
    await using rack = await replicas();
    const [one, two] = rack.urls;
    const dir = await shop(rack.here.join("shop"), "; sleep 3");
    const tar = await new Response(Bun.spawn(["tar", "-czf", "-", "-C", dir, "."]).stdout).blob();
    const post = async (url: string, path: string, body: BodyInit): Promise<Record<string, string>> => {
      const response = await fetch(`${url}${path}`, { method: "POST", headers: LOGIN, body });
      const text = await response.text();
      if (!response.ok) throw new Error(`${response.status} ${text}`);
      return JSON.parse(text);
    };
    const { Url = "" } = await post(one, "/apps/shop/objects/tmp/source.tgz", tar);
    const { id = "" } = await post(two, "/apps/shop/builds", new URLSearchParams({ url: Url }));
    const followed = await rack.here.ok(["builds", "logs", id, "-a", "shop", "-r", "direct"], {
      env: { RACK_URL: one.replace("://", `://convox:${PASSWORD}@`), DAVIT_RACK: undefined },
    });
    expect(followed).toMatch(/ two$/m);
    const build = await rack.json(["builds", "info", id, "-a", "shop"]);
    expect(build).toMatchObject({ status: "complete", store: rack.prefix });
    for (const host of rack.servers.map((server) => server.host)) {
      const args = ["inspect", "--tls-verify=false", "--creds", `x:${PASSWORD}`, "--format", "{{.Digest}}"];
      const digest = await sh(["skopeo", ...args, `docker://${host}/shop:web.${id}`]);
      expect(digest.trim()).toBe(build.images.web);
    }
    const direct = await sh([
      ...["skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}"],
      `docker://${rack.prefix}/shop:web.${id}`,
    ]);
    expect(direct.trim()).toBe(build.images.web);
  },
  LONG,
);

test(
  "an upload begun on one continues on the other, also after its link broke",
  async () => {
    await using rack = await replicas();
    const [one, two] = rack.urls;
    const blob = crypto.getRandomValues(new Uint8Array(60_000));
    const begun = await fetch(`${one}/v2/shop/blobs/uploads/`, { method: "POST", headers: LOGIN });
    const location = begun.headers.get("location") ?? "";
    const patch = (url: string, from: number, to: number) =>
      fetch(`${url}${location}`, {
        method: "PATCH",
        headers: { ...LOGIN, "content-range": `${from}-${to - 1}` },
        body: blob.slice(from, to),
      });
    expect((await patch(one, 0, 20_000)).headers.get("range")).toBe("0-19999");
    expect((await patch(two, 20_000, 30_000)).headers.get("range")).toBe("0-29999");
    expect((await patch(one, 20_000, 30_000)).status).toBe(416);
    // A request that promises more than it brings, and goes.
    const broken = new AbortController();
    const half = new ReadableStream({
      async start(controller) {
        controller.enqueue(blob.slice(30_000, 45_000));
        await Bun.sleep(300);
        broken.abort();
      },
    });
    await fetch(`${one}${location}`, {
      method: "PATCH",
      headers: LOGIN,
      body: half,
      signal: broken.signal,
    }).catch(() => undefined);
    const asked = await fetch(`${two}${location}`, { headers: LOGIN });
    expect([asked.status, asked.headers.get("range")]).toEqual([204, "0-44999"]);
    expect((await patch(two, 45_000, 60_000)).status).toBe(202);
    const digest = digestOf(blob);
    const done = await fetch(`${one}${location}?digest=${digest}`, { method: "PUT", headers: LOGIN });
    expect(done.status).toBe(201);
    const got = await fetch(`${two}/v2/shop/blobs/${digest}`, {
      headers: { ...LOGIN, range: "bytes=100-50099" },
    });
    expect(got.status).toBe(206);
    expect(new Uint8Array(await got.arrayBuffer())).toEqual(blob.slice(100, 50_100));
  },
  LONG,
);

test(
  "bundles go in and out through both at once, ids never clash, and what is deleted goes once",
  async () => {
    await using rack = await replicas();
    const dir = await shop(rack.here.join("shop"));
    const first = await rack.json(["build", "-a", "shop"], { cwd: dir });
    const bundle = rack.here.join("bundle.tar");
    await rack.ok(["builds", "export", first.id, "-a", "shop", "-f", bundle]);
    const imports = await Promise.all(
      Array.from({ length: 8 }, () => rack.json(["builds", "import", "-a", "shop", "-f", bundle])),
    );
    const ids = imports.map(({ id }) => id);
    expect(new Set([first.id, ...ids]).size).toBe(9);
    expect((await rack.json(["builds", "-a", "shop"])).length).toBe(9);
    await Promise.all(ids.map((id) => rack.ok(["builds", "delete", id, "-a", "shop", "--yes"])));
    const again = rack.here.join("again.tar");
    await rack.ok(["builds", "export", first.id, "-a", "shop", "-f", again]);
    expect(await Bun.file(again).bytes()).toEqual(await Bun.file(bundle).bytes());
    // What clients sent by themselves stays for a day; what the rack made goes at once.
    const other = await rack.json(["build", "-a", "shop"], { cwd: await shop(rack.here.join("other")) });
    const headers = { accept: "application/vnd.oci.image.manifest.v1+json" };
    const image = `http://${rack.prefix.replace("/", "/v2/")}/shop/manifests/${other.images.web}`;
    expect((await fetch(image, { headers })).status).toBe(200);
    await rack.ok(["builds", "delete", other.id, "-a", "shop", "--yes"]);
    expect((await fetch(image, { headers })).status).toBe(404);
  },
  LONG,
);

test(
  "when one is killed the other goes on: its builds are marked, an import through the address completes",
  async () => {
    await using rack = await replicas();
    const dir = await shop(rack.here.join("shop"), "; sleep 30");
    const [victim] = rack.servers;
    const building = rack.here.run(["build", "-a", "shop", "--id"], {
      cwd: dir,
      env: { RACK_URL: victim.rackUrl, DAVIT_RACK: undefined },
    });
    for (let tries = 0; tries < 100; tries++) {
      const [build] = await rack.json(["builds", "-a", "shop"]);
      if (build?.status === "running") break;
      await Bun.sleep(100);
    }
    await victim.kill("SIGKILL");
    const failed = await building;
    expect(failed.code).toBe(1);
    const [build] = await rack.json(["builds", "-a", "shop"]);
    expect(build).toMatchObject({ status: "failed", reason: "the davit that ran it was stopped" });
    const fast = await shop(rack.here.join("fast"));
    expect(await rack.ok(["build", "-a", "shop", "--id"], { cwd: fast })).toMatch(/^R[A-Z]{10}$/);
  },
  LONG,
);
