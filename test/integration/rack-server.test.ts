import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { collect, encode, streamOf } from "../../src/bytes.ts";
import { type NewEntry, writeTar } from "../../src/tar/write.ts";
import { PASSWORD, startRack } from "../support/convox.ts";
import { sandbox } from "../support/davit.ts";

/* What a rack's server refuses, and how: in one clear line, and it stays up. */

const LOGIN = { authorization: `Basic ${Buffer.from(`convox:${PASSWORD}`).toString("base64")}` };

async function rackWithApp() {
  const box = sandbox();
  await box.ok(["apps", "create", "shop"]);
  const rack = await startRack(box);
  const ask = async (path: string, init: RequestInit & { headers?: Record<string, string> } = {}) => {
    const response = await fetch(`${rack.url}${path}`, { ...init, headers: { ...LOGIN, ...init.headers } });
    return { status: response.status, text: await response.text() };
  };
  return {
    ...{ box, rack, ask },
    [Symbol.asyncDispose]: async () => {
      await rack[Symbol.asyncDispose]();
      box[Symbol.dispose]();
    },
  };
}

test("wrong passwords are refused in the original's words, raw and percent-encoded right ones are taken", async () => {
  using box = sandbox();
  await using rack = await startRack(box, "local", "p@ss/w%rd");
  const status = async (login: string) =>
    (
      await fetch(`${rack.url}/system`, {
        headers: { authorization: `Basic ${Buffer.from(login).toString("base64")}` },
      })
    ).status;
  expect(await status("convox:p@ss/w%rd")).toBe(200);
  expect(await status(`anyone:${encodeURIComponent("p@ss/w%rd")}`)).toBe(200);
  const wrong = await fetch(`${rack.url}/system`, { headers: { authorization: "Basic eDp5" } });
  expect([wrong.status, await wrong.text(), wrong.headers.get("www-authenticate")]).toEqual([
    401,
    "invalid authentication\n",
    'Basic realm="convox"',
  ]);
  expect((await fetch(`${rack.url}/check`)).status).toBe(200);
});

test("whoever guesses passwords has to wait", async () => {
  await using server = await rackWithApp();
  const guess = () => server.ask("/system", { headers: { authorization: "Basic eDp5" } });
  const answers = await Promise.all(Array.from({ length: 12 }, guess));
  expect(answers.map(({ status }) => status)).toContain(429);
});

test("requests for other hosts and from other origins are refused", async () => {
  await using server = await rackWithApp();
  expect((await server.ask("/system", { headers: { host: "evil.example.com" } })).status).toBe(421);
  expect((await server.ask("/system", { headers: { origin: "http://evil.example.com" } })).status).toBe(403);
  expect((await server.ask("/system", { headers: { origin: server.rack.url } })).status).toBe(200);
});

test("errors are text for convox and JSON for those who ask for it; nothing is a format", async () => {
  await using server = await rackWithApp();
  expect(await server.ask("/apps/none")).toEqual({ status: 404, text: "app not found: none\n" });
  expect(await server.ask("/apps/a%25b", { headers: { "user-agent": "convox.go/dev" } })).toEqual({
    status: 404,
    text: "app not found: a%%b\n",
  });
  const { text } = await server.ask("/apps/none", { headers: { accept: "application/json" } });
  expect(JSON.parse(text)).toMatchObject({ error: "app not found: none", code: "not-found" });
  expect(await server.ask("/nothing")).toEqual({ status: 404, text: "" });
  expect(await server.ask("/system", { method: "PATCH" })).toEqual({ status: 405, text: "" });
  expect((await server.ask("/apps/shop/objects/a/../../b", { method: "POST", body: "x" })).status).not.toBe(
    200,
  );
  expect((await server.ask("/apps/shop/objects/a%2F..%2Fb", { method: "POST", body: "x" })).text).toBe(
    "invalid object key\n",
  );
});

async function sourceOf(...entries: NewEntry[]): Promise<Uint8Array<ArrayBuffer>> {
  return Bun.gzipSync(await collect(writeTar(entries), 1e6, "source"));
}

const file = (name: string, text: string): NewEntry => ({
  ...{ name, type: "file", size: text.length },
  body: () => streamOf(encode(text)),
});

test("a source that climbs out of its directory fails its build, and nothing is written", async () => {
  await using server = await rackWithApp();
  const source = await sourceOf(
    file("convox.yml", "services:\n  web:\n    build: .\n"),
    file("../../escaped", "x"),
  );
  const { text } = await server.ask("/apps/shop/objects/tmp/source.tgz", { method: "POST", body: source });
  const form = new URLSearchParams({ url: JSON.parse(text).Url });
  const created = JSON.parse((await server.ask("/apps/shop/builds", { method: "POST", body: form })).text);
  const build = async () => JSON.parse((await server.ask(`/apps/shop/builds/${created.id}`)).text);
  while (["created", "running"].includes((await build()).status)) await Bun.sleep(50);
  expect(await build()).toMatchObject({
    status: "failed",
    reason: expect.stringContaining("leads out of it"),
  });
  const racks = server.box.join("home/racks");
  expect(await readdir(`${racks}/local/work`)).toEqual([]);
  expect((await readdir(racks)).sort()).toEqual(["local"]);
  const { text: log } = await server.ask(`/apps/shop/objects/build/${created.id}/logs`);
  expect(log).toMatch(/^ERROR: .*escaped.*leads out of it/);
});

test("sources and builds that are not there are refused before anything is recorded", async () => {
  await using server = await rackWithApp();
  const create = async (url: string) =>
    await server.ask("/apps/shop/builds", { method: "POST", body: new URLSearchParams({ url }) });
  expect(await create("")).toEqual({ status: 400, text: "no build source found\n" });
  expect(await create("ftp://x/y.tgz")).toEqual({ status: 400, text: "unknown source type\n" });
  expect(await create("object://shop/tmp/none")).toEqual({
    status: 404,
    text: "object not found: tmp/none\n",
  });
  expect((await create("object://other/tmp/none")).status).toBe(403);
  expect(JSON.parse((await server.ask("/apps/shop/builds")).text)).toEqual([]);
});

test("an external build is complete only with every service's image, by its own secret, which then ends", async () => {
  await using server = await rackWithApp();
  const ask = async (path: string, method: string, fields: Record<string, string>) =>
    await server.ask(path, { method, body: new URLSearchParams(fields) });
  const created = JSON.parse((await ask("/apps/shop/builds", "POST", { external: "true", url: "" })).text);
  expect(created).toMatchObject({ status: "created", app: "shop" });
  const { username, password, pathname } = new URL(created.repository);
  expect([username, pathname]).toEqual([created.id, "/shop"]);
  const path = `/apps/shop/builds/${created.id}`;
  expect((await ask(path, "PUT", { status: "complete" })).status).toBe(400);
  await ask(path, "PUT", { manifest: "services:\n  web:\n    build: .\n" });
  const refused = await ask(path, "PUT", { status: "complete" });
  expect(refused).toEqual({
    status: 409,
    text: `Cannot complete build ${created.id}: there is no image of service web\n`,
  });
  const secret = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
  const registry = async (path: string, method = "GET") =>
    (await server.ask(path, { method, headers: secret })).status;
  expect(await registry("/v2/")).toBe(200);
  expect(await registry("/v2/shop/blobs/uploads/", "POST")).toBe(202);
  expect(await registry("/v2/other/blobs/uploads/", "POST")).toBe(403);
  for (const [method, route] of [
    ["GET", "/apps"],
    ["GET", "/apps/shop/builds"],
    ["POST", "/apps/shop/builds"],
    ["GET", "/metrics"],
  ] as const)
    expect((await server.ask(route, { method, headers: secret })).status).toBe(403);
  const tag = await server.ask("/v2/shop/manifests/latest", {
    method: "PUT",
    headers: { ...secret, "content-type": "application/vnd.oci.image.index.v1+json" },
    body: JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [],
    }),
  });
  expect(tag.status).toBe(403);
  await ask(path, "PUT", { status: "failed" });
  expect(await registry("/v2/")).toBe(401);
});

test("a log over a web socket is text frames and an empty binary one; errors come the same way", async () => {
  await using server = await rackWithApp();
  const { text } = await server.ask("/apps/shop/objects/tmp/s.tgz", {
    method: "POST",
    body: await sourceOf(file("a", "b")),
  });
  const form = new URLSearchParams({ url: JSON.parse(text).Url });
  const { id } = JSON.parse((await server.ask("/apps/shop/builds", { method: "POST", body: form })).text);
  const frames = async (path: string, headers: Record<string, string> = LOGIN) => {
    const socket: WebSocket = Reflect.construct(WebSocket, [
      `${server.rack.url.replace("http", "ws")}${path}`,
      { headers },
    ]);
    socket.binaryType = "arraybuffer";
    const got: string[] = [];
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.onmessage = ({ data }) => {
      if (typeof data === "string") got.push(data);
      else resolve();
    };
    await promise;
    socket.close();
    return got.join("");
  };
  expect(await frames(`/apps/shop/builds/${id}/logs`)).toMatch(/^ERROR: .*no such file: convox\.yml/);
  expect(await frames("/apps/shop/builds/BNONENONENO/logs")).toBe("ERROR: build not found: BNONENONENO\n");
  expect(await frames(`/apps/shop/builds/${id}/logs`, {})).toBe("ERROR: invalid authentication\n");
});

test("a client that stalls holds up nobody, and is sent away", async () => {
  await using server = await rackWithApp();
  const { hostname, port } = new URL(server.rack.url);
  const sockets = Array.from({ length: 200 }, () => {
    const socket = connect({ host: hostname, port: Number(port) });
    socket.on("error", () => undefined);
    socket.write(
      `POST /apps/shop/objects/tmp/slow HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: ${LOGIN.authorization}\r\nContent-Length: 1000000\r\n\r\nslow`,
    );
    return socket;
  });
  await Bun.sleep(200);
  const began = performance.now();
  expect((await server.ask("/apps/shop/builds")).status).toBe(200);
  expect(performance.now() - began).toBeLessThan(1000);
  for (const socket of sockets) socket.destroy();
});

test("metrics count requests and builds", async () => {
  await using server = await rackWithApp();
  await server.ask("/apps");
  const { text } = await server.ask("/metrics");
  expect(text).toMatch(/^davit_requests_total\{method="GET",status="200"\} [1-9]/m);
  expect(text).toMatch(/^davit_builds_running 0$/m);
  expect((await fetch(`${server.rack.url}/metrics`)).status).toBe(401);
});

test("a rack is not served to other machines without TLS, and a second server is refused", async () => {
  await using server = await rackWithApp();
  const open = await server.box.run(
    ["rack", "start", "--listen", "0.0.0.0:0", "-r", "local", "--password-stdin"],
    { stdin: "x" },
  );
  expect(open).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: Cannot listen on 0\.0\.0\.0 without TLS\nhint: /),
  });
  const second = await server.box.run(["rack", "start", "--listen", "127.0.0.1:0", "--password-stdin"], {
    stdin: "x",
  });
  expect(second).toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`process ${server.rack.pid} serves it already`),
  });
});
