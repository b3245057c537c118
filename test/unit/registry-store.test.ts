import { expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { collect } from "../../src/bytes.ts";
import { copy } from "../../src/oci/copy.ts";
import { isDigest } from "../../src/oci/digest.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { RegistryStore } from "../../src/oci/registry-store.ts";
import { contentOf } from "../../src/oci/store.ts";
import { sampleImage } from "../support/images.ts";
import { tempDir } from "../support/temp.ts";

type Answer = (request: Request, url: URL) => Response | undefined | Promise<Response | undefined>;

/** A registry at a socket that serves one image; `first` may answer in its place. */
async function fakeRegistry(first: Answer = () => undefined) {
  const image = await sampleImage("registry");
  const root = await image.resolve("image");
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const url = new URL(request.url);
      const answer = await first(request, url);
      if (answer) return answer;
      const name = url.pathname.split("/").at(-1) ?? "";
      const digest = name === "v1" ? root.digest : name;
      const bytes = isDigest(digest) ? image.blobs.get(digest) : undefined;
      if (!bytes) return new Response("unknown", { status: 404 });
      const type = digest === root.digest ? root.mediaType : "application/octet-stream";
      return new Response(bytes, { headers: { "content-type": type, "docker-content-digest": digest } });
    },
  });
  const host = `127.0.0.1:${server.port}`;
  return {
    ...{ host, root, image },
    open: (env: Record<string, string> = { DOCKER_CONFIG: "/nonexistent" }) =>
      new RegistryStore(parseReference(`${host}/app:v1`), { env }),
    [Symbol.asyncDispose]: async () => await server.stop(true),
  };
}

test("an image is copied with its digest kept", async () => {
  await using registry = await fakeRegistry();
  const store = registry.open();
  const target = new MemoryStore();
  const root = await copy(store, await store.resolve("v1"), target);
  expect(root.digest).toBe(registry.root.digest);
  expect(target.blobs.size).toBe(registry.image.blobs.size);
  await expect(store.resolve("none")).rejects.toMatchObject({ code: "not-found" });
});

test("a token is fetched where the registry says, with docker's own credentials", async () => {
  using dir = tempDir();
  let asked = "";
  await using registry = await fakeRegistry((request, url) => {
    if (url.pathname === "/token") {
      asked = `${request.headers.get("authorization")} ${url.searchParams.get("scope")}`;
      return Response.json({ token: "t0ken" });
    }
    if (request.headers.get("authorization") === "Bearer t0ken") return undefined;
    return new Response(null, {
      status: 401,
      headers: { "www-authenticate": `Bearer realm="http://${url.host}/token",service="s"` },
    });
  });
  const auth = Buffer.from("me:pass:word").toString("base64");
  await writeFile(dir.join("config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
  expect((await registry.open({ DOCKER_CONFIG: dir.path }).resolve("v1")).digest).toBe(registry.root.digest);
  expect(asked).toBe(`Basic ${auth} repository:app:pull`);
});

test("nor to another port of this machine", async () => {
  await using registry = await fakeRegistry((_, url) => {
    const realm = `http://127.0.0.1:${Number(url.port) === 1 ? 2 : 1}/token`;
    return new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${realm}"` } });
  });
  await expect(registry.open().resolve("v1")).rejects.toMatchObject({ code: "denied" });
});

test.each([
  "http://169.254.169.254/latest",
  "http://127.0.0.2:1/token",
  "https://10.0.0.1/token",
  "file:///etc/passwd",
  "",
])("credentials never go to realm %p", async (realm) => {
  const challenge = { "www-authenticate": `Bearer realm="${realm}"` };
  await using registry = await fakeRegistry(() => new Response(null, { status: 401, headers: challenge }));
  await expect(registry.open().resolve("v1")).rejects.toMatchObject({ code: "denied" });
});

test("a redirect elsewhere goes without credentials, and is not followed without end", async () => {
  let leaked: string | null = "not asked";
  await using other = await fakeRegistry((request) => {
    leaked = request.headers.get("authorization");
    return undefined;
  });
  using dir = tempDir();
  await using registry = await fakeRegistry((request, url) => {
    if (!request.headers.get("authorization"))
      return new Response(null, { status: 401, headers: { "www-authenticate": "Basic" } });
    return Response.redirect(`http://${other.host}${url.pathname}`, 307);
  });
  await writeFile(
    dir.join("config.json"),
    JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from("a:b").toString("base64") } } }),
  );
  await registry.open({ DOCKER_CONFIG: dir.path }).resolve("v1");
  expect(leaked).toBeNull();
  await using loop = await fakeRegistry((_, url) =>
    Response.redirect(`http://${url.host}${url.pathname}`, 307),
  );
  await expect(loop.open().resolve("v1")).rejects.toThrow("more than 5 redirects");
});

test("a digest that is not the one the registry claims, and a manifest without end, are refused", async () => {
  await using lying = await fakeRegistry((_, url) =>
    url.pathname.endsWith("/v1")
      ? new Response("{}", {
          headers: {
            "content-type": "application/vnd.oci.image.manifest.v1+json",
            "docker-content-digest": `sha256:${"a".repeat(64)}`,
          },
        })
      : undefined,
  );
  await expect(lying.open().resolve("v1")).rejects.toMatchObject({ code: "mismatch" });
  await using endless = await fakeRegistry(() => new Response(new Uint8Array(5_000_000)));
  await expect(endless.open().resolve("v1")).rejects.toThrow("larger than");
});

test("a flipped bit in a layer is found at its end", async () => {
  await using registry = await fakeRegistry((_, url) =>
    url.pathname.includes("/blobs/") ? new Response(new Uint8Array(21)) : undefined,
  );
  const { manifest } = await import("../../src/oci/walk.ts").then(async ({ readManifest }) =>
    readManifest(registry.open(), registry.root),
  );
  const layer = manifest.kind === "image" ? manifest.layers[0] : undefined;
  if (!layer) throw new Error("no layer");
  await expect(collect(await registry.open().fetch(layer), 1e6, "layer")).rejects.toMatchObject({
    code: "mismatch",
  });
});

test("plain http is for this machine only, and other schemes are for nobody", async () => {
  const { request } = await import("../../src/http/request.ts");
  await expect(request("http://10.1.2.3/")).rejects.toMatchObject({ code: "denied" });
  await expect(request("file:///etc/passwd")).rejects.toMatchObject({ code: "denied" });
});

test("what a registry lacked is there once it was pushed, by this store or by another", async () => {
  let isThere = false;
  await using registry = await fakeRegistry((request, url) => {
    if (url.pathname === "/v2/") return new Response("");
    if (request.method === "PUT") isThere = true;
    if (request.method === "PUT") return new Response(null, { status: 201 });
    return isThere ? undefined : new Response(null, { status: 404 });
  });
  const [store, another] = [registry.open(), registry.open()];
  const { root, image } = registry;
  for (const one of [store, another]) expect(await one.exists(root)).toBe("no");
  await store.push(root, contentOf(image.blobs.get(root.digest) ?? new Uint8Array(0)));
  for (const one of [store, another]) expect(await one.exists(root)).toBe("yes");
});
