import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";
import { BASE, project } from "../support/projects.ts";
import { CutProxy } from "../support/relay.ts";

/* A directory's way to a rack elsewhere. */

const LONG = 60_000;
const MEGABYTE = 1_000_000;

/** A project with a large file; its build prints what is in a small one. */
async function large(dir: string): Promise<string> {
  await project(dir, {
    "convox.yml": "services:\n  web:\n    build: .\n",
    Dockerfile: `${BASE}COPY . /src\nRUN sh -c 'cat /src/deep/small; wc -c /src/deep/large'\n`,
  });
  await mkdir(join(dir, "deep"));
  const noise = new Uint8Array(3 * MEGABYTE);
  for (let at = 0; at < noise.byteLength; at += 50_000)
    crypto.getRandomValues(noise.subarray(at, at + 50_000));
  await writeFile(join(dir, "deep/large"), noise);
  await writeFile(join(dir, "deep/small"), "small 1\n");
  return dir;
}

async function linked(limit: number) {
  const [there, here] = [sandbox(), sandbox()];
  const rack = await startRack(there);
  const proxy = await new CutProxy(rack.host, limit).listen();
  const dir = await large(here.join("shop"));
  const env = { RACK_URL: rack.rackUrl.replace(rack.host, proxy.host) };
  const build = async (): Promise<string> => (await here.run(["build", "--id"], { cwd: dir, env })).stderr;
  return {
    ...{ here, dir, proxy, env, build, rack },
    [Symbol.asyncDispose]: async () => {
      await proxy[Symbol.asyncDispose]();
      await rack[Symbol.asyncDispose]();
      there[Symbol.dispose]();
      here[Symbol.dispose]();
    },
  };
}

test(
  "the second build of a directory sends what changed",
  async () => {
    await using link = await linked(Number.POSITIVE_INFINITY);
    expect(await link.build()).toMatch(/ small 1$/m);
    const first = link.proxy.up;
    expect(first).toBeGreaterThan(3 * MEGABYTE);
    await writeFile(join(link.dir, "deep/small"), "small 2\n");
    expect(await link.build()).toMatch(/ small 2$/m);
    expect(link.proxy.up - first).toBeLessThan(20_000);
  },
  LONG,
);

test(
  "builds of one app at once have each their own source",
  async () => {
    await using link = await linked(Number.POSITIVE_INFINITY);
    const other = await large(link.here.join("other"));
    await writeFile(join(other, "deep/small"), "small other\n");
    const others = link.here.run(["build", "--id", "-a", "shop"], { cwd: other, env: link.env });
    const [mine, theirs] = await Promise.all([link.build(), others]);
    expect(mine).toMatch(/ small 1$/m);
    expect(theirs.stderr).toMatch(/ small other$/m);
  },
  LONG,
);

test(
  "what had arrived when the link broke is not sent again",
  async () => {
    await using link = await linked(2 * MEGABYTE);
    await writeFile(join(link.dir, "another"), crypto.getRandomValues(new Uint8Array(60_000)));
    const half = new Uint8Array(1_500_000);
    for (let at = 0; at < half.byteLength; at += 50_000)
      crypto.getRandomValues(half.subarray(at, at + 50_000));
    await writeFile(join(link.dir, "a-first"), half);
    await writeFile(join(link.dir, "deep/large"), half.toReversed());
    expect(await link.build()).toMatch(/ small 1$/m);
    expect(link.proxy.cuts).toBeGreaterThan(0);
  },
  LONG,
);

test(
  "a rack that knows nothing of such sources gets an archive",
  async () => {
    await using link = await linked(Number.POSITIVE_INFINITY);
    await using old = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request, server) => {
        const url = new URL(request.url);
        if (url.pathname.includes("/sources")) return new Response("not found\n", { status: 404 });
        if (request.headers.get("upgrade")) return new Response("no sockets here\n", { status: 400 });
        server.timeout(request, 60);
        url.host = link.rack.host;
        return await fetch(url, { method: request.method, headers: request.headers, body: request.body });
      },
    });
    const env = { RACK_URL: link.env.RACK_URL.replace(link.proxy.host, `127.0.0.1:${old.port}`) };
    await link.here.run(["build", "--id"], { cwd: link.dir, env });
    const [build] = await link.here.json(["builds", "-a", "shop"], { env: link.env });
    expect(await link.here.ok(["builds", "logs", build.id, "-a", "shop"], { env: link.env })).toMatch(
      / small 1$/m,
    );
  },
  LONG,
);
