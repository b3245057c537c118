import { afterAll, beforeAll, expect, test } from "bun:test";
import { BUILD_LOG, putBuild } from "../../src/bundle/record.ts";
import { collect, decode, encode, streamOf } from "../../src/bytes.ts";
import { copy } from "../../src/oci/copy.ts";
import { type Descriptor, describe } from "../../src/oci/descriptor.ts";
import { digestHex } from "../../src/oci/digest.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { contentOf } from "../../src/oci/store.ts";
import { readManifest } from "../../src/oci/walk.ts";
import { type NewEntry, writeTar } from "../../src/tar/write.ts";
import { LOG, MANIFEST, RECORD } from "../support/bundles.ts";
import { type Answer, commit, type Key, MARK, startTwoKeys, type TwoKeys } from "../support/two-keys.ts";

/*
 * Two apps and two deploy keys on one rack. Every attack is a sentence and what evil sends:
 * another one is one more line. An attack is refused when its answer is 4xx or reports that nothing
 * was taken, when the answer holds nothing of shop's, and when shop is unchanged afterwards.
 */

let rack: TwoKeys;
beforeAll(async () => {
  rack = await startTwoKeys();
});
afterAll(async () => await rack[Symbol.asyncDispose]());

type Attack = (rack: TwoKeys) => Promise<Answer>;

const REFUSED: Record<string, Attack> = {
  "reading another app": ({ evil }) => evil.ask("/apps/shop"),
  "listing another app's builds": ({ evil }) => evil.ask("/apps/shop/builds"),
  "reading another app's build by way of one's own": ({ evil, has }) =>
    evil.ask(`/apps/evil/builds/${has.build}`),
  "reading another build's log by way of one's own app": ({ evil, has }) =>
    evil.ask(`/apps/evil/objects/build/${has.build}/logs`),
  "exporting another app's build": ({ evil, has }) => evil.ask(`/apps/evil/builds/${has.build}.tgz`),
  "changing another app's build": ({ evil, has }) =>
    evil.post(`/apps/evil/builds/${has.build}`, { status: "failed" }, "PUT"),
  "importing an image into another app's build": ({ evil, has, host }) =>
    evil.post(`/apps/evil/builds/${has.build}/image`, { image: `${host}/evil:x` }),
  "deleting another app's build": ({ evil, has }) =>
    evil.ask(`/apps/evil/builds/${has.build}`, { method: "DELETE" }),
  "reading another app's release": ({ evil, has }) => evil.ask(`/apps/evil/releases/${has.release}`),
  "a release of another app's build": ({ evil, has }) =>
    evil.post("/apps/evil/releases", { build: has.build }),
  "a release with another app's as its parent": ({ evil, has }) =>
    evil.post("/apps/evil/releases", { "parent-release": has.release }),
  "promoting another app's release": ({ evil, has }) =>
    evil.post(`/apps/evil/releases/${has.release}/promote`, {}),
  "an own build with another app's release": async ({ evil, has }) => {
    const { id } = JSON.parse((await evil.post("/apps/evil/builds", { external: "true" })).text);
    return await evil.post(`/apps/evil/builds/${id}`, { release: has.release }, "PUT");
  },
  "building another app's source": ({ evil, has }) => evil.post("/apps/evil/builds", { url: has.object }),
  "building another app's source by a path": ({ evil, has }) =>
    evil.post("/apps/evil/builds", { url: has.object.replace("//shop/", "//evil/../shop/") }),
  "building another app's source by an escaped path": ({ evil, has }) =>
    evil.post("/apps/evil/builds", { url: has.object.replace("//shop/", "//evil/..%2fshop%2f") }),
  "building another app's directory": ({ evil }) => evil.post("/apps/evil/builds", { url: "tree://shop/1" }),
  "reading another app's object": ({ evil, has }) =>
    evil.ask(`/apps/shop/objects/${has.object.replace("object://shop/", "")}`),
  "reading an object of another app by one's own": ({ evil, has }) =>
    evil.ask(`/apps/evil/objects/${has.object.replace("object://shop/", "")}`),
  "listing another app's blobs": ({ evil }) => evil.ask("/apps/shop/blobs"),

  "pulling another app's layer": ({ evil, has }) =>
    evil.ask(`/v2/shop/blobs/${has.manifest.layers[0]?.digest}`),
  "pulling another app's layer from one's own": ({ evil, has }) =>
    evil.ask(`/v2/evil/blobs/${has.manifest.layers[0]?.digest}`),
  "pulling another app's image by its tag": ({ evil, has }) =>
    evil.ask(`/v2/evil/manifests/web.${has.build}`),
  "pulling another app's image by its digest": ({ evil, has }) =>
    evil.ask(`/v2/evil/manifests/${has.image.digest}`),
  "listing another app's tags": ({ evil }) => evil.ask("/v2/shop/tags/list"),
  "what refers to another app's image": ({ evil, has }) => evil.ask(`/v2/shop/referrers/${has.image.digest}`),
  "pushing a layer that is only named": ({ evil, has }) =>
    evil.ask(`/v2/evil/blobs/uploads/?digest=${has.manifest.layers[0]?.digest}`, { method: "POST" }),
  "pushing other bytes under a layer's name": ({ evil, has }) =>
    evil.ask(`/v2/evil/blobs/uploads/?digest=${has.manifest.layers[0]?.digest}`, {
      ...{ method: "POST", body: "other bytes" },
    }),
  "going on with another app's upload": ({ evil, has }) =>
    evil.ask(`/v2/evil/blobs/uploads/${has.upload}`, { method: "PATCH", body: "more" }),
  "where another app's upload stands": ({ evil, has }) => evil.ask(`/v2/evil/blobs/uploads/${has.upload}`),
  "ending another app's upload": ({ evil, has }) =>
    evil.ask(`/v2/evil/blobs/uploads/${has.upload}?digest=${describe("", encode(MARK)).digest}`, {
      method: "PUT",
    }),
  "beginning an upload in another app": ({ evil }) => evil.ask("/v2/shop/blobs/uploads/", { method: "POST" }),
  "a layer cache that no builder made": async ({ evil }) =>
    await putManifest(evil, "web.buildcache", await ownImage(evil)),

  "a build of another app's index": ({ evil, has }) => commit(evil, "evil", has.index, { web: has.image }),
  "a build of another app's image": async ({ evil, has }) => {
    const index = await ownIndex(evil, has.image);
    return await commit(evil, "evil", index, { web: has.image });
  },
  "a build of another app's image under another type": async ({ evil, has }) =>
    await commit(evil, "evil", await ownIndex(evil), {
      web: { ...has.image, mediaType: "application/octet-stream" },
    }),
  "a build of an image whose layers are another app's": async ({ evil, has }) => {
    const { config, layers } = has.manifest;
    const image = makeManifest(mediaTypes.ociManifest, { config, layers });
    await putManifest(evil, image.descriptor.digest, image);
    return await commit(evil, "evil", await ownIndex(evil, image.descriptor), { web: image.descriptor });
  },
  "an external build of an image whose layers are another app's": async ({ evil, has }) => {
    const made = JSON.parse((await evil.post("/apps/evil/builds", { external: "true" })).text);
    await evil.post(`/apps/evil/builds/${made.id}`, { manifest: "services:\n  web:\n    build: .\n" }, "PUT");
    const { config, layers } = has.manifest;
    await putManifest(
      evil,
      `web.${made.id}`,
      makeManifest(mediaTypes.ociManifest, { config, layers, annotations: { a: "1" } }),
    );
    return await evil.post(`/apps/evil/builds/${made.id}`, { status: "complete" }, "PUT");
  },
  "an external build of an image whose config nobody pushed": async ({ evil }) => {
    const { descriptor, bytes } = await ownImage(evil);
    const made = JSON.parse((await evil.post("/apps/evil/builds", { external: "true" })).text);
    await evil.post(`/apps/evil/builds/${made.id}`, { manifest: MANIFEST }, "PUT");
    const config = describe(mediaTypes.ociConfig, encode(`{"of":"${made.id}"}`));
    const image = { ...JSON.parse(decode(bytes)), config };
    await putManifest(evil, `web.${made.id}`, makeManifest(descriptor.mediaType, image));
    return await evil.post(`/apps/evil/builds/${made.id}`, { status: "complete" }, "PUT");
  },
  "an archive that leaves out another app's layers": async ({ evil, has }) => {
    const layout = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [has.image] };
    const body = await archive({
      "oci-layout": encode('{"imageLayoutVersion":"1.0.0"}'),
      "index.json": encode(JSON.stringify(layout)),
      [`blobs/sha256/${digestHex(has.image.digest)}`]: has.bytes,
    });
    return await evil.ask("/apps/evil/builds/import", { method: "POST", body });
  },
  "a thin archive that says another app's layers are here": async ({ evil, has }) => {
    const layout = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [has.image] };
    const { config, layers } = has.manifest;
    const body = await archive({
      "oci-layout": encode('{"imageLayoutVersion":"1.0.0"}'),
      "index.json": encode(JSON.stringify(layout)),
      "omitted.json": encode(JSON.stringify({ omitted: [config, ...layers] })),
      [`blobs/sha256/${digestHex(has.image.digest)}`]: has.bytes,
    });
    return await evil.ask("/apps/evil/builds/import", { method: "POST", body });
  },
  "a build with a service that is no name": async ({ evil }) => {
    const image = await ownImage(evil);
    await putManifest(evil, image.descriptor.digest, image);
    const index = await ownIndex(evil, image.descriptor);
    return await commit(evil, "evil", index, { "../../shop/manifests/web": image.descriptor });
  },
};

for (const [sentence, attack] of Object.entries(REFUSED))
  test(`${sentence} is refused`, async () => {
    const { status, text } = await attack(rack);
    if (status < 400 || status > 499) throw new Error(`answered ${status}: ${text.slice(0, 500)}`);
    expect(text).not.toContain(MARK);
  });

test("a mount from another app, named or not, begins an upload and gives nothing", async () => {
  const { evil, has } = rack;
  for (const { digest } of [has.manifest.config, ...has.manifest.layers])
    for (const from of ["&from=shop", ""]) {
      const answer = await evil.ask(`/v2/evil/blobs/uploads/?mount=${digest}${from}`, { method: "POST" });
      expect(answer.status).toBe(202);
      expect((await evil.ask(`/v2/evil/blobs/${digest}`)).status).toBe(404);
    }
});

test("a manifest that names another app's blobs gives none of them, by any way of asking", async () => {
  const { evil, has } = rack;
  const { config, layers } = has.manifest;
  const made = makeManifest(mediaTypes.ociManifest, { config, layers, subject: has.image });
  await putManifest(evil, "named", made);
  for (const { digest } of [config, ...layers]) {
    expect((await evil.ask(`/v2/evil/blobs/${digest}`)).status).toBe(404);
    expect((await evil.ask(`/v2/evil/blobs/${digest}`, { method: "HEAD" })).status).toBe(404);
  }
  expect((await evil.ask("/apps/evil/blobs")).text).not.toContain(config.digest);
});

test("an import's key of another app finds nothing of its", async () => {
  const { evil, shop, has } = rack;
  const again = { idempotencyKey: "the-same" };
  const first = await commit(shop, "shop", has.index, { web: has.image }, again);
  expect(first.status).toBe(200);
  expect((await commit(evil, "evil", has.index, { web: has.image }, again)).status).toBe(409);
});

test("indexes that name each other 900 times are judged in a moment, and keep nobody waiting", async () => {
  const { evil, operator } = rack;
  let root = await ownImage(evil);
  for (let level = 0; level < 5; level++) {
    await putManifest(evil, root.descriptor.digest, root);
    const manifests = Array.from({ length: 900 }, () => root.descriptor);
    root = makeManifest(mediaTypes.ociIndex, { manifests, annotations: { level: `${level}` } });
  }
  const made = JSON.parse((await evil.post("/apps/evil/builds", { external: "true" })).text);
  await evil.post(`/apps/evil/builds/${made.id}`, { manifest: MANIFEST }, "PUT");
  await putManifest(evil, `web.${made.id}`, root);
  const began = performance.now();
  const complete = evil.post(`/apps/evil/builds/${made.id}`, { status: "complete" }, "PUT");
  const asked = performance.now();
  await operator.ask("/check");
  expect(performance.now() - asked).toBeLessThan(250);
  expect(await complete).toMatchObject({ status: 200 });
  expect(performance.now() - began).toBeLessThan(2000);
});

test("after all of it shop has what it had, and evil nothing of it", async () => {
  const { evil, shop, has } = rack;
  expect((await shop.ask(`/v2/shop/manifests/${has.image.digest}`)).status).toBe(200);
  expect((await shop.ask(`/v2/shop/blobs/uploads/${has.upload}`)).status).toBe(204);
  expect(JSON.parse((await shop.ask(`/apps/shop/builds/${has.build}`)).text).status).toBe("complete");
  expect((await shop.ask(`/apps/shop/objects/${has.object.replace("object://shop/", "")}`)).text).toBe(MARK);
  for (const { id } of JSON.parse((await evil.ask("/apps/evil/builds")).text))
    expect((await evil.ask(`/apps/evil/builds/${id}.tgz`)).text).not.toContain(MARK);
});

async function archive(files: Record<string, Uint8Array<ArrayBuffer>>): Promise<Uint8Array<ArrayBuffer>> {
  const entries = Object.entries(files).map(
    ([name, bytes]): NewEntry => ({
      name,
      type: "file",
      size: bytes.byteLength,
      body: () => streamOf(bytes),
    }),
  );
  return await collect(writeTar(entries), 1e6, "the archive");
}

interface Made {
  descriptor: Descriptor;
  bytes: Uint8Array<ArrayBuffer>;
}

function putManifest(key: Key, ref: string, { descriptor, bytes }: Made): Promise<Answer> {
  const headers = { "content-type": descriptor.mediaType };
  return key.ask(`/v2/evil/manifests/${ref}`, { method: "PUT", headers, body: bytes });
}

/** An image of evil's own; its manifest is still to be put. */
async function ownImage(key: Key): Promise<Made> {
  const blobs = [
    describe(mediaTypes.ociConfig, encode('{"rootfs":{"type":"layers","diff_ids":[]}}')),
    describe(mediaTypes.ociLayerGzip, encode("evil's own")),
  ];
  const store = key.store("evil");
  const texts = ['{"rootfs":{"type":"layers","diff_ids":[]}}', "evil's own"];
  for (const [i, blob] of blobs.entries()) await store.push(blob, contentOf(encode(texts[i] ?? "")));
  const [config, ...layers] = blobs;
  return makeManifest(mediaTypes.ociManifest, { config, layers });
}

/** A build's index of evil's own that names an image. */
async function ownIndex(key: Key, image?: Descriptor): Promise<Descriptor> {
  const memory = new MemoryStore();
  const log = describe(BUILD_LOG, encode(LOG));
  await memory.push(log, contentOf(encode(LOG)));
  const own = await ownImage(key);
  if (!image) await putManifest(key, own.descriptor.digest, own);
  const images = new Map([["web", image ?? own.descriptor]]);
  const index = await putBuild(memory, RECORD, MANIFEST, log, images);
  const target = key.store("evil");
  const { manifest, bytes } = await readManifest(memory, index);
  const record = manifest.kind === "index" ? manifest.manifests.at(-1) : undefined;
  if (record) {
    const { mediaType, digest, size } = record;
    await copy(memory, { mediaType, digest, size }, target);
  }
  await putManifest(key, index.digest, { descriptor: index, bytes });
  return index;
}
