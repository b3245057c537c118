import { expect, test } from "bun:test";
import { bundleOf, sampleBuild } from "../support/bundles.ts";
import { sandbox, sh } from "../support/davit.ts";
import { recordingProxy } from "../support/recording-proxy.ts";

/* What goes through HTTP_PROXY and HTTPS_PROXY, and what must not. */

/** A server on loopback that stands for racks, registries and engines, and records the requests. */
function loopbackServer(answer: (path: string) => Response) {
  const paths: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request, self) {
      const { pathname } = new URL(request.url);
      paths.push(pathname);
      if (self.upgrade(request)) return;
      return answer(pathname);
    },
    websocket: { message: () => undefined, open: (socket) => socket.close() },
  });
  return { host: `127.0.0.1:${server.port}`, paths, [Symbol.dispose]: () => void server.stop(true) };
}

test("nothing for this machine goes to a proxy: neither a rack's password, nor its sockets, a registry or an engine", async () => {
  using box = sandbox();
  using proxy = await recordingProxy();
  using server = loopbackServer((path) =>
    path === "/apps/shop/builds" ? Response.json([]) : new Response("no", { status: 404 }),
  );
  const { port } = new URL(`http://${server.host}`);
  for (const host of ["127.0.0.1", "localhost", "LOCALHOST", "127.0.0.1.", "0x7f.1", "2130706433"]) {
    const env = { ...proxy.env, RACK_URL: `http://convox:Hidden-pw@${host}:${port}` };
    const { code, stderr } = await box.run(["builds", "-a", "shop"], { env });
    expect([host, code, stderr, proxy.heads]).toEqual([host, 0, "", []]);
  }
  await box.run(["logs", "-a", "shop", "--no-follow"], {
    env: { ...proxy.env, RACK_URL: `http://convox:Hidden-pw@${server.host}` },
  });
  await box.run(["inspect", `${server.host}/x:1`], { env: proxy.env });
  await sh(["mkdir", box.join("shop")]);
  await Bun.write(box.join("shop/convox.yml"), "services:\n  web:\n    build: .\n");
  await Bun.write(box.join("shop/Dockerfile"), "FROM scratch\nCOPY . /\n");
  await box.run(["build", "-a", "shop"], {
    cwd: box.join("shop"),
    env: { ...proxy.env, DOCKER_HOST: `tcp://${server.host}` },
  });
  await box.run(["build", `http://me:Hidden-pw@${server.host}/a.git`, "-a", "shop"], { env: proxy.env });
  await box.run(["build", `http://me:Hidden-pw@${server.host}/a.tgz`, "-a", "shop"], { env: proxy.env });
  expect(proxy.heads).toEqual([]);
  expect([...new Set(server.paths)]).toEqual(
    expect.arrayContaining(["/v2/x/manifests/1", "/_ping", "/a.git/info/refs", "/a.tgz"]),
  );
}, 60_000);

test("others are reached through the proxy, which sees no password of theirs, and is named when it fails", async () => {
  using box = sandbox();
  using proxy = await recordingProxy();
  const rack = { ...proxy.env, RACK_URL: "https://convox:Hidden-pw@rack.invalid" };
  const failed = await box.run(["builds", "-a", "shop"], { env: rack });
  expect([failed.code, failed.stderr]).toEqual([
    1,
    expect.stringMatching(/^error: Cannot reach rack\.invalid through the proxy 127\.0\.0\.1:\d+: .*502/),
  ]);
  expect(failed.stderr).toContain("hint: see HTTPS_PROXY, HTTP_PROXY and NO_PROXY");
  expect(failed.stderr).not.toContain("me:pass");
  expect(proxy.heads.length).toBeLessThanOrEqual(6);
  for (const head of proxy.heads) {
    expect(head).toStartWith("CONNECT rack.invalid:443 ");
    expect(head).not.toContain(Buffer.from("convox:Hidden-pw").toString("base64"));
  }
}, 60_000);

test("a rack over plain http that was not allowed gets no password, through a proxy neither", async () => {
  using box = sandbox();
  using proxy = await recordingProxy();
  const env = { ...proxy.env, RACK_URL: "http://convox:Hidden-pw@rack.invalid" };
  for (const args of [["builds"], ["logs"], ["exec", "web-1", "ls"]]) {
    const { code, stderr } = await box.run([...args, "-a", "shop"], { env });
    expect([args, code, stderr]).toEqual([
      args,
      1,
      expect.stringContaining("Cannot use plain http to rack.invalid"),
    ]);
  }
  expect(proxy.heads).toEqual([]);
});

test("a push whose every request is answered with an error ends within seconds, and says who answered", async () => {
  using box = sandbox();
  using proxy = await recordingProxy();
  await Bun.write(box.join("x.tar"), await bundleOf(await sampleBuild(["web", "api", "worker"], "p")));
  for (const [host, env] of [
    [proxy.host, {}],
    ["reg.invalid", { ...proxy.env, DAVIT_PLAIN_HTTP: "reg.invalid" }],
  ] as const) {
    const began = performance.now();
    const { code, stderr } = await box.run(["push", "x.tar", `${host}/x`], { env });
    expect(performance.now() - began).toBeLessThan(15_000);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: .*answered 502/)]);
    if (host === "reg.invalid") expect(stderr).toContain(`answered 502 through the proxy ${proxy.host}`);
  }
}, 60_000);

test("a proxy that refuses is not asked again", async () => {
  using box = sandbox();
  using proxy = await recordingProxy("407 Proxy Authentication Required");
  const { code, stderr } = await box.run(["inspect", "reg.invalid/x:1"], { env: proxy.env });
  expect([code, stderr]).toEqual([1, expect.stringContaining("through the proxy")]);
  expect(proxy.heads.length).toBe(1);
});
