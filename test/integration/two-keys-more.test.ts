import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect } from "node:net";
import { encode, streamOf } from "../../src/bytes.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { writeTar } from "../../src/tar/write.ts";
import { formatEntry, hashOf, type TreeEntry } from "../../src/tree/listing.ts";
import { type Answer, type Key, MARK, startTwoKeys, type TwoKeys } from "../support/two-keys.ts";

/* Further attacks of one key on another app, on the rack's own things, and on everybody's time and memory. */

let rack: TwoKeys;
beforeAll(async () => {
  rack = await startTwoKeys();
});
afterAll(async () => await rack[Symbol.asyncDispose]());

type Attack = (rack: TwoKeys) => Promise<Answer>;

const REFUSED: Record<string, Attack> = {
  "another app behind an escaped slash": ({ evil }) => evil.ask("/apps/evil%2f..%2fshop/builds"),
  "another app with a zero after its name": ({ evil }) => evil.ask("/apps/shop%00/builds"),
  "another app in capitals": ({ evil }) => evil.ask("/apps/SHOP"),
  "another app by a header that names a path": ({ evil }) =>
    evil.ask("/apps/none", { headers: { "x-original-url": "/apps/shop", "x-rewrite-url": "/apps/shop" } }),
  "another repository behind an escaped slash": ({ evil }) => evil.ask("/v2/evil%2f..%2fshop/tags/list"),
  "a manifest whose name leads to another repository": ({ evil, has }) =>
    evil.ask(`/v2/evil/manifests/..%2f..%2fshop%2fmanifests%2fweb.${has.build}`),
  "a repository below another's": ({ evil }) => evil.ask("/v2/shop/evil/tags/list"),
  "a tag of the builder's beside one's own": ({ evil }) => put(evil, "mine?tag=web.buildcache", own()),
  "deleting another app's tag": ({ evil, has }) =>
    evil.ask(`/v2/shop/manifests/web.${has.build}`, { method: "DELETE" }),
  "an upload of two digests": ({ evil, has }) =>
    evil.ask(`/v2/evil/blobs/uploads/?digest=${has.image.digest}&digest=${has.index.digest}`, {
      method: "POST",
    }),

  "an object whose key climbs": ({ evil }) => evil.ask("/apps/evil/objects/a/..%2f..%2fshop/tmp/source.tgz"),
  "an object whose key holds a zero": ({ evil }) =>
    evil.ask("/apps/evil/objects/tmp%00x", { method: "POST", body: "x" }),
  "an object whose key names nothing in between": ({ evil }) => evil.ask("/apps/evil/objects//shop//tmp"),
  "listing one's objects": ({ evil }) => evil.ask("/apps/evil/objects"),
  "building a file of the server": ({ evil }) =>
    evil.post("/apps/evil/builds", { url: "file:///etc/passwd" }),
  "building from an address of the server's": ({ evil, host }) =>
    evil.post("/apps/evil/builds", { url: `http://${host}/x.git` }),
  "building another build's log": ({ evil, has }) =>
    evil.post("/apps/evil/builds", { url: `object://evil/build/${has.build}/logs` }),
  "building a source that nobody holds": ({ evil }) =>
    evil.post("/apps/evil/builds", { url: "tree://evil/../../shop/0" }),
  "a platform that is more than one": ({ evil, has }) =>
    evil.post("/apps/evil/builds", { url: has.object, platform: "linux/amd64 --privileged" }),
  "a build in a state of its own making": async ({ evil }) => {
    const { id } = JSON.parse((await evil.post("/apps/evil/builds", { external: "true" })).text);
    return await evil.post(`/apps/evil/builds/${id}`, { status: "deleted" }, "PUT");
  },

  "a build that began at no time": async ({ evil }) => {
    const { id } = JSON.parse((await evil.post("/apps/evil/builds", { external: "true" })).text);
    return await evil.post(`/apps/evil/builds/${id}`, { started: "99999999.999999.1" }, "PUT");
  },

  "a mirror outside of the mirrors": ({ evil }) => send(evil, "..%2f..%2fshop%2f0", [file({})]),
  "a mirror in the place of loose content": ({ evil }) => send(evil, "loose", [file({})]),
  "a file that is longer than its mirror says": ({ evil }) => send(evil, "1", [file({ size: 0 })]),
  "a link out of a mirror": ({ evil }) =>
    send(evil, "1", [file({ type: "symlink", name: "convox.yml", hash: "", target: "../../../password" })]),
  "a hard link to the ledger": ({ evil }) =>
    send(evil, "1", [file({ type: "link", target: "../../../../ledger.db" })]),
  "a hard link by way of a link": ({ evil }) =>
    send(evil, "1", [
      file({ type: "symlink", name: "d", hash: "", target: ".." }),
      file({ type: "link", name: "x", target: "d/index" }),
    ]),
  "a name with a slash in a mirror": ({ evil }) => send(evil, "1", [file({ name: "d/x" })]),

  "making a token": ({ evil }) => evil.post("/system/jwt/token", { role: "read", durationInHour: "1" }),
  "making a token for another app": ({ evil }) =>
    evil.post("/system/jwt/token", { role: "write", durationInHour: "1", apps: "shop" }),
  "listing tokens": ({ evil }) => evil.ask("/system/jwt/tokens"),
  "revoking the tokens of all": ({ evil }) => evil.ask("/system/jwt/older-tokens", { method: "DELETE" }),
  "reading the registries' passwords": ({ evil }) => evil.ask("/registries"),
  "logging the rack in somewhere": ({ evil, host }) =>
    evil.post("/registries", { server: host, username: "a", password: "b", apps: "evil" }),
  "consent that one gives oneself": ({ evil }) =>
    evil.post("/system", { parameters: "HostPaths=/&ResourceImages=a" }, "PUT"),
  "a builder that one chooses": ({ evil }) =>
    evil.post("/apps/evil", { parameters: "BuildkitHost=tcp://evil:1" }, "PUT"),
  "reading the rack's log of events": ({ evil }) => evil.ask("/events"),
  "reading how the rack is doing": ({ evil }) => evil.ask("/metrics"),
  "the passwords of an app's resources": ({ evil }) => evil.ask("/apps/evil/resources"),
  "ending another app's promotion": ({ evil }) => evil.post("/apps/shop/cancel", {}),
  "an event in the rack's name": ({ evil }) =>
    evil.post("/events", { action: "rack:params", data: "app=evil" }),
  "an event of another app": ({ evil }) => evil.post("/events", { action: "build:create", data: "app=shop" }),
  "an event of 150,000 names": ({ evil }) =>
    evil.post("/events", { action: "build:create", data: "k=&".repeat(150_000) }),
  "a method by another name": ({ evil, has }) =>
    evil.ask(`/apps/evil/builds/${has.build}`, { headers: { "x-http-method-override": "DELETE" } }),

  "the rack's password as a token": ({ rackUrl }) => as("jwt", decodeURIComponent(new URL(rackUrl).password)),
  "a token that nobody signed": ({ evil }) => as("jwt", unsigned(evil.token)),
  "a token for more apps than were signed": ({ evil }) => as("jwt", forApp(evil.token, "shop")),
  "a push secret outside of the registry": async ({ evil }) => as(...(await pushSecret(evil)), "/apps/evil"),
  "a push secret in another repository": async ({ evil }) =>
    as(...(await pushSecret(evil)), "/v2/shop/tags/list"),
  "a push secret under another build's name": async ({ evil, has }) =>
    as(has.build, (await pushSecret(evil))[1], "/v2/evil/tags/list"),
};

for (const [sentence, attack] of Object.entries(REFUSED))
  test(`${sentence} is refused`, async () => {
    const { status, text } = await attack(rack);
    if (status < 400 || status > 499) throw new Error(`answered ${status}: ${text.slice(0, 500)}`);
    expect(text).not.toContain(MARK);
  });

test("no answer tells whether another app has a thing of that name", async () => {
  const { evil, has } = rack;
  const asked = (build: string, release: string, app: string): Promise<Answer>[] => [
    evil.ask(`/apps/${app}/builds/${build}`),
    evil.ask(`/apps/evil/builds/${build}`),
    evil.ask(`/apps/evil/releases/${release}`),
    evil.post("/apps/evil/releases", { build }),
    evil.post("/apps/evil/builds", { url: `object://${app}/tmp/source.tgz` }),
    evil.post(`/apps/evil/releases/${release}/promote`, {}),
    evil.ask(`/v2/${app}/manifests/web.${build}`),
    evil.ask(`/v2/${app}/tags/list`),
    evil.ask(
      `/v2/evil/blobs/${build.startsWith("BAAA") ? has.image.digest.replace(/.$/, "0") : has.image.digest}`,
    ),
  ];
  const [there, absent] = await Promise.all([
    Promise.all(asked(has.build, has.release, "shop")),
    Promise.all(asked("BAAAAAAAAAA", "RAAAAAAAAAA", "none")),
  ]);
  const plain = ({ status, text }: Answer) =>
    `${status} ${text.replaceAll(/[BR][A-Z]{10}|sha256:[0-9a-f]+|\b(shop|none)\b/g, "…")}`;
  expect(there.map(plain)).toEqual(absent.map(plain));
});

test("what a key is told of its own things counts nothing of others'", async () => {
  const { evil } = rack;
  const { id } = JSON.parse((await evil.post("/apps/evil/releases", { env: "A=1" })).text);
  for (const path of ["/apps/evil", "/apps/evil/builds", "/apps/evil/releases", `/apps/evil/releases/${id}`])
    expect((await evil.ask(path)).text).not.toMatch(/"seq"|"owner"|"store"|"lease/);
});

test("an app that fills its queue takes no place of another's", async () => {
  const { evil, shop, operator, has } = rack;
  await operator.post("/system", { parameters: "BuildFromUrls=Yes&ImportFrom=127.0.0.1:9" }, "PUT");
  await shop.ask("/apps/shop/objects/tmp/again.tgz", { method: "POST", body: MARK });
  using slow = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
  await operator.post("/system", { parameters: `ImportFrom=127.0.0.1:${slow.port}` }, "PUT");
  const url = `http://127.0.0.1:${slow.port}/x.tgz`;
  let last = await evil.post("/apps/evil/builds", { url });
  for (let builds = 1; builds < 150 && last.status === 200; builds++)
    last = await evil.post("/apps/evil/builds", { url });
  expect(last).toMatchObject({ status: 503, text: "100 builds of app evil are waiting already\n" });
  const url2 = has.object.replace("source", "again");
  expect(await shop.post("/apps/shop/builds", { url: url2 })).toMatchObject({ status: 200 });
  await operator.post("/system", { parameters: "BuildFromUrls=No&ImportFrom=" }, "PUT");
});

test("long texts make no list long, and bodies that never end no server large", async () => {
  const { evil, operator, host } = rack;
  const description = "d".repeat(1_900_000);
  for (let i = 0; i < 8; i++) await evil.post("/apps/evil/builds", { external: "true", description });
  expect((await evil.ask("/apps/evil/builds?limit=1000")).text.length).toBeLessThan(6_000_000);
  const head = [
    "POST /apps/evil/releases HTTP/1.1",
    `Host: ${host}`,
    `Authorization: Basic ${btoa(`jwt:${evil.token}`)}`,
    "Content-Type: application/x-www-form-urlencoded",
    "Content-Length: 2000000\r\n\r\nenv=",
  ].join("\r\n");
  const open = Array.from({ length: 200 }, () => {
    const socket = connect(Number(host.split(":")[1]), "127.0.0.1");
    socket.on("error", () => undefined);
    socket.write(head + "x".repeat(1_900_000));
    return socket;
  });
  await Bun.sleep(2000);
  const began = performance.now();
  const { text } = await operator.ask("/metrics");
  expect(performance.now() - began).toBeLessThan(1000);
  const resident = Number(/^process_resident_memory_bytes (\d+)/m.exec(text)?.[1]);
  for (const socket of open) socket.destroy();
  expect(resident / 1024 / 1024).toBeLessThan(400);
});

test("after all of it shop has what it had", async () => {
  const { shop, has } = rack;
  expect((await shop.ask(`/v2/shop/manifests/web.${has.build}`)).status).toBe(200);
  expect(JSON.parse((await shop.ask(`/apps/shop/builds/${has.build}`)).text).status).toBe("complete");
  expect((await shop.ask(`/apps/shop/objects/${has.object.replace("object://shop/", "")}`)).text).toBe(MARK);
});

function own() {
  return makeManifest(mediaTypes.ociIndex, { manifests: [] });
}

function put(key: Key, ref: string, made: ReturnType<typeof own>): Promise<Answer> {
  const headers = { "content-type": made.descriptor.mediaType };
  return key.ask(`/v2/evil/manifests/${ref}`, { method: "PUT", headers, body: made.bytes });
}

function file(more: Partial<TreeEntry>): TreeEntry {
  const usual = { type: "file", name: "f", mode: 0o644, mtimeNs: 0n, size: 1, target: "" } as const;
  return { ...usual, hash: hashOf("x"), ...more };
}

/** A delta that no davit would write. */
async function send(key: Key, mirror: string, entries: TreeEntry[]): Promise<Answer> {
  const listing = entries.map(formatEntry).join("");
  const document = encode(`${hashOf(listing)} ${Buffer.byteLength(listing)}\n${listing}`);
  const members = [
    { name: "listings", type: "file" as const, size: document.byteLength, body: () => streamOf(document) },
    { name: hashOf("x"), type: "file" as const, size: 1, body: () => streamOf(encode("x")) },
  ];
  const body = Buffer.concat(await Array.fromAsync(writeTar(members)));
  return await key.ask(`/apps/evil/sources/${mirror}/${hashOf(listing)}`, { method: "POST", body });
}

async function as(user: string, password: string, path = "/apps"): Promise<Answer> {
  const authorization = `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
  return await rack.evil.ask(path, { headers: { authorization } });
}

function unsigned(token: string): string {
  const [, claims] = token.split(".");
  return `${Buffer.from('{"alg":"none","typ":"JWT"}').toString("base64url")}.${claims}.`;
}

function forApp(token: string, app: string): string {
  const [head, claims = "", signature] = token.split(".");
  const text = Buffer.from(claims, "base64url").toString().replaceAll("evil", app);
  return `${head}.${Buffer.from(text).toString("base64url")}.${signature}`;
}

/** What an external build's client pushes with. */
async function pushSecret(key: Key): Promise<[build: string, secret: string]> {
  const { id, repository } = JSON.parse((await key.post("/apps/evil/builds", { external: "true" })).text);
  return [id, new URL(repository).password];
}
