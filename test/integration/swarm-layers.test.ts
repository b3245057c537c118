import { expect, test } from "bun:test";
import { encode } from "../../src/bytes.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { startRack } from "../support/convox.ts";
import { swarmRack, webProject } from "../support/swarm.ts";

/* An engine takes layers that it has for those that a config names, whatever comes with it. */

const YML =
  "services:\n  web:\n    build: .\n    scale: {cpu: 10, memory: 32}\n    termination: {grace: 1}\n";

test("an image whose config names layers of another app's image does not run", async () => {
  await using rack = await swarmRack();
  await using server = await startRack(rack.box, rack.rack);
  const ask = async (method: string, path: string, body?: BodyInit, type?: string) => {
    const { username, password } = new URL(server.rackUrl);
    const authorization = `Basic ${btoa(`${username}:${decodeURIComponent(password)}`)}`;
    const headers = { authorization, ...(type ? { "content-type": type } : {}) };
    const response = await fetch(`${server.url}${path}`, { method, headers, ...(body ? { body } : {}) });
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response;
  };
  const json = async (...args: Parameters<typeof ask>) => (await ask(...args)).json();
  for (const app of ["shop", "evil"]) await rack.ok(["apps", "create", app]);
  await rack.ok(["deploy", "-a", "shop"], await webProject(rack.box.join("shop"), "orchard", YML));
  const [{ id: shops }] = await rack.json(["builds", "-a", "shop"]);
  const { config } = await json("GET", `/v2/shop/manifests/web.${shops}`);
  const { rootfs } = await json("GET", `/v2/shop/blobs/${config.digest}`);

  const blob = async (type: string, bytes: Uint8Array<ArrayBuffer>) => {
    const descriptor = describe(type, bytes);
    await ask("POST", `/v2/evil/blobs/uploads/?digest=${descriptor.digest}`, bytes);
    return descriptor;
  };
  const build = async (diff_ids: string[]): Promise<string> => {
    const said = { architecture: "amd64", os: "linux", config: { Cmd: ["/bin/busybox", "sleep", "100000"] } };
    const text = encode(JSON.stringify({ ...said, rootfs: { type: "layers", diff_ids } }));
    const junk = Bun.gzipSync(new Uint8Array(1024));
    const layers = await Promise.all(diff_ids.map(() => blob(mediaTypes.ociLayerGzip, junk)));
    const made = { config: await blob(mediaTypes.ociConfig, text), layers };
    const image = makeManifest(mediaTypes.ociManifest, made);
    const { id } = await json("POST", "/apps/evil/builds", new URLSearchParams({ external: "true" }));
    await ask("PUT", `/apps/evil/builds/${id}`, new URLSearchParams({ manifest: YML }));
    await ask("PUT", `/v2/evil/manifests/web.${id}`, image.bytes, image.descriptor.mediaType);
    await ask("PUT", `/apps/evil/builds/${id}`, new URLSearchParams({ status: "complete" }));
    return (await json("POST", "/apps/evil/releases", new URLSearchParams({ build: id }))).id;
  };
  const stolen = await rack.run(["releases", "promote", await build(rootfs.diff_ids), "-a", "evil"]);
  expect(stolen.stderr).toContain("its layers are not those that its config names");
  expect(stolen.code).toBe(1);
  const fewer = await rack.run(["releases", "promote", await build([]), "-a", "evil"]);
  expect(fewer.stderr).not.toContain("its layers are not those");
  expect(await rack.json(["ps", "-a", "shop"])).toHaveLength(1);
}, 150_000);
