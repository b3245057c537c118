import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { checkProject } from "../../src/build/check.ts";
import { registryPlace } from "../../src/bundle/place.ts";
import { encode } from "../../src/bytes.ts";
import { hasCode } from "../../src/errors.ts";
import { digestOf } from "../../src/oci/digest.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { checkName } from "../../src/rack/ids.ts";
import { openLayoutRegistry } from "../../src/rack/layout-registry.ts";
import { type RegistryServer, serveRegistry } from "../../src/server/registry-server.ts";
import { tempDir } from "../support/temp.ts";

/**
 * The named bad inputs from 72 on; those before are archives, in corpus.test.ts. 93
 * and 94 (realms) are in registry-store.test.ts, 96 (git URLs) comes with Git sources.
 */

describe("a project", () => {
  const verdicts: [name: string, files: Record<string, string>, says: RegExp | undefined][] = [
    // Aliases are followed where a value is used, and never written out.
    ["72 YAML alias bomb", { "convox.yml": bomb() }, undefined],
    ["73 YAML merge keys", { "convox.yml": "x: &a\n  build: .\nservices:\n  web:\n    <<: *a\n" }, undefined],
    [
      "74 on, yes and 0777 as values",
      { "convox.yml": "services:\n  web:\n    build: .\n    environment:\n      - A=on\n      - B=0777\n" },
      undefined,
    ],
    ["75 a tab as indent", { "convox.yml": "services:\n\tweb:\n\t\tbuild: .\n" }, /[Tt]ab/],
    ["76 a service named ../x", { "convox.yml": "services:\n  ../x:\n    build: .\n" }, /service/],
    ["76 a service with an empty name", { "convox.yml": 'services:\n  "":\n    build: .\n' }, /service/],
    [
      "76 a service with a name of 300 characters",
      { "convox.yml": `services:\n  ${"a".repeat(300)}:\n    build: .\n` },
      /service/,
    ],
    ["77 a Dockerfile that is missing", { "convox.yml": "services:\n  web:\n    build: ./none\n" }, /none/],
  ];

  test.each(verdicts)("%s", async (_, files, says) => {
    using dir = tempDir();
    for (const [name, text] of Object.entries({ Dockerfile: "FROM scratch\n", ...files }))
      await writeFile(dir.join(name), text);
    const { errors } = await checkProject(dir.path, "convox.yml", []).catch((error: unknown) => ({
      errors: [{ message: String(error) }],
    }));
    const text = errors.map(({ message }) => message).join("\n");
    if (says) expect(text).toMatch(says);
    else expect(text).toBe("");
  });

  test("77 a Dockerfile that is a directory, and one that is a link out of the project", async () => {
    using dir = tempDir();
    await writeFile(dir.join("convox.yml"), "services:\n  web:\n    build: .\n");
    await mkdir(dir.join("Dockerfile"));
    const errors = async () =>
      (
        await checkProject(dir.path, "convox.yml", []).catch((error: unknown) => ({
          errors: [String(error)],
        }))
      ).errors;
    expect((await errors()).length).toBeGreaterThan(0);
    await rm(dir.join("Dockerfile"), { recursive: true });
    await symlink("/etc/hostname", dir.join("Dockerfile"));
    expect((await errors()).length).toBeGreaterThan(0);
  });
});

function bomb(): string {
  const lines = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [i, name] of [..."bcdefghi"].entries()) {
    const before = "abcdefghi"[i];
    lines.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(",")}]`);
  }
  return `${lines.join("\n")}\nservices:\n  web:\n    build: .\n    command: *i\n`;
}

describe("the registry", () => {
  const dir = tempDir();
  let server: RegistryServer;
  beforeAll(async () => {
    const registry = await openLayoutRegistry(dir.join("layout"));
    server = await serveRegistry({
      registry,
      dir: dir.join("layout"),
      address: { hostname: "127.0.0.1", port: 0 },
    });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  });

  /** Bytes sent as they are; the status line that comes back. */
  async function raw(text: string): Promise<string> {
    const { promise, resolve } = Promise.withResolvers<string>();
    const socket = connect(Number(new URL(server.url).port), "127.0.0.1", () => socket.write(text));
    let got = "";
    socket.on("data", (data) => {
      got += data.toString();
      if (got.includes("\r\n")) {
        resolve(got.split("\r\n")[0] ?? "");
        socket.destroy();
      }
    });
    socket.on("close", () => resolve(got));
    socket.on("error", () => resolve(got));
    setTimeout(() => socket.destroy(), 2000).unref();
    return await promise;
  }
  const status = async (method: string, path: string, init: RequestInit = {}) =>
    (await fetch(server.url + path, { method, redirect: "manual", ...init })).status;
  const start = async (repository: string) =>
    (await fetch(`${server.url}/v2/${repository}/blobs/uploads/`, { method: "POST" })).headers.get(
      "location",
    ) ?? "";
  const image = "application/vnd.oci.image.manifest.v1+json";

  test("81 two lengths in one request are refused", async () => {
    expect(
      await raw(
        "POST /v2/a/blobs/uploads/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      ),
    ).toContain("400");
  });
  test("82 two Host headers are refused", async () => {
    expect(await raw("GET /v2/ HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.example\r\n\r\n")).toMatch(/4\d\d/);
  });
  test("83 a host that is not ours is refused", async () => {
    expect(await raw("GET /v2/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")).toContain("421");
  });
  test("84 an upload of another repository is unknown", async () => {
    const location = await start("mine");
    expect(await status("PATCH", location.replace("/mine/", "/other/"), { body: "x" })).toBe(404);
  });
  test("85 a chunk out of order is refused, and says where the upload stands", async () => {
    const response = await fetch(server.url + (await start("mine")), {
      method: "PATCH",
      body: "x",
      headers: { "content-range": "5-5" },
    });
    expect([response.status, response.headers.get("range")]).toEqual([416, "0-0"]);
  });
  test("86 a digest that is wrong, absent or there twice is refused", async () => {
    const digest = digestOf(encode("x"));
    for (const query of [
      "",
      "?digest=sha256:abc",
      `?digest=${digestOf(encode("y"))}`,
      `?digest=${digest}&digest=${digest}`,
    ])
      expect(await status("PUT", (await start("mine")) + query, { body: "x" })).toBe(400);
  });
  test("87 a manifest of 5 MiB is refused", async () => {
    expect(
      await status("PUT", "/v2/mine/manifests/big", {
        body: " ".repeat(5 * 1024 * 1024),
        headers: { "content-type": image },
      }),
    ).toBe(413);
  });
  test("88 a manifest that names absent blobs is kept as a sparse one, and its blobs stay unknown", async () => {
    const config = {
      mediaType: "application/vnd.oci.image.config.v1+json",
      digest: `sha256:${"1".repeat(64)}`,
      size: 2,
    };
    const body = JSON.stringify({ schemaVersion: 2, mediaType: image, config, layers: [] });
    expect(
      await status("PUT", "/v2/mine/manifests/sparse", { body, headers: { "content-type": image } }),
    ).toBe(201);
    expect(await status("GET", `/v2/mine/blobs/${config.digest}`)).toBe(404);
  });
  test.each(["UPPER", "a".repeat(300), "%2e%2e", "a//b", "-a"])(
    "89 repository %p is refused",
    async (name) => {
      expect([400, 404]).toContain(await status("GET", `/v2/${name}/tags/list`));
    },
  );
  test("90 n=-1 is refused, n=1e9 too, and a huge n is cut", async () => {
    expect(await status("GET", "/v2/mine/tags/list?n=-1")).toBe(400);
    expect(await status("GET", "/v2/mine/tags/list?n=1e9")).toBe(400);
    expect(await status("GET", "/v2/mine/tags/list?n=1000000000")).toBe(200);
  });
  test("91 and 92 what a browser's page sends is refused", async () => {
    const upgrade = { upgrade: "websocket", connection: "upgrade", origin: "https://evil.example" };
    expect(await status("GET", "/v2/", { headers: upgrade })).toBe(403);
    const form = { origin: "https://evil.example", "content-type": "application/x-www-form-urlencoded" };
    expect(await status("POST", "/v2/mine/blobs/uploads/", { headers: form, body: "a=b" })).toBe(403);
  });
});

describe("names", () => {
  test.each(["--foo", "-", "", "a b", "/etc/passwd", "./x", "a@b", "a@sha256:abc", "host/UPPER", "a:b:c"])(
    "95 image %p is refused",
    (name) => {
      expect(() => registryPlace(name)).toThrow(/Cannot (use|read)/);
    },
  );
  test("95 and a reference is never read as a flag", () => {
    expect(() => parseReference("--foo")).toThrow();
  });
  test.each(["a/b", "..", "a?b", "a\nb", "A", ""])("97 app %p is refused", (name) => {
    let error: unknown;
    try {
      checkName("app", name);
    } catch (failure) {
      error = failure;
    }
    expect(hasCode(error, "invalid", "usage")).toBe(true);
  });
});
