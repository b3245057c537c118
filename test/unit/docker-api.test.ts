import { expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { streamOf } from "../../src/bytes.ts";
import { buildImage } from "../../src/docker-api/build.ts";
import { compareVersions, EngineClient } from "../../src/docker-api/client.ts";
import { engineHost, parseHost } from "../../src/docker-api/host.ts";
import { EngineImages } from "../../src/docker-api/images.ts";
import { tempDir } from "../support/temp.ts";

/** An engine at a socket that answers as told: for faults no real one will produce. */
function fakeEngine(answer: (path: string) => Response, api = "1.41") {
  const dir = tempDir();
  const socket = dir.join("docker.sock");
  const server = Bun.serve({
    unix: socket,
    fetch: (request) => {
      const { pathname } = new URL(request.url);
      return pathname === "/_ping"
        ? new Response("OK", { headers: { "api-version": api } })
        : answer(pathname);
    },
  });
  const client = new EngineClient(parseHost(`unix://${socket}`));
  return {
    client,
    [Symbol.asyncDispose]: async () => {
      await server.stop(true);
      dir[Symbol.dispose]();
    },
  };
}

const request = { dockerfile: "Dockerfile", args: {}, noCache: false, version: "2" } as const;
const build = async (client: EngineClient) => await Array.fromAsync(buildImage(client, streamOf(), request));

test("an error inside a stream of HTTP 200 is an error", async () => {
  await using engine = fakeEngine(
    () =>
      new Response(
        '{"stream":"Step 1"}\n{"errorDetail":{"message":"exit code: 7"},"error":"exit code: 7"}\n',
      ),
  );
  await expect(build(engine.client)).rejects.toMatchObject({
    code: "build-failed",
    message: "exit code: 7",
  });
});

test("a stream that breaks off, or is not JSON, is an error and never a success", async () => {
  using dir = tempDir();
  const head = "HTTP/1.1 200 OK\r\napi-version: 1.41\r\ntransfer-encoding: chunked\r\n\r\n";
  const socket = dir.join("cut.sock");
  const server = createServer((connection) => {
    connection.on("error", () => undefined);
    connection.once("data", (request) => {
      if (String(request).includes("/_ping"))
        connection.end(
          "HTTP/1.1 200 OK\r\napi-version: 1.41\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
      else
        connection.write(`${head}d\r\n{"stream":"a"\r\n`, () => setTimeout(() => connection.destroy(), 50));
    });
  }).listen(socket);
  const broken = await build(new EngineClient(parseHost(`unix://${socket}`))).catch(
    (error: unknown) => error,
  );
  expect(broken).toMatchObject({ code: "engine" });
  expect(String(broken)).toContain("broke off");
  server.close();
  await using html = fakeEngine(() => new Response("<html>proxy</html>"));
  await expect(build(html.client)).rejects.toMatchObject({ code: "engine" });
});

test("the engine's own words reach the user", async () => {
  await using engine = fakeEngine(() => Response.json({ message: "No such image: x" }, { status: 404 }));
  const images = new EngineImages(engine.client);
  await expect(images.inspect("x")).rejects.toMatchObject({
    code: "not-found",
    message: expect.stringContaining("No such image: x"),
  });
  expect(await images.find("x")).toBeUndefined();
});

test("the API version is the lower of both, from 1.41 up", async () => {
  await using old = fakeEngine(() => new Response(), "1.40");
  await expect(old.client.version()).rejects.toThrow("it speaks API 1.40");
  await using recent = fakeEngine(() => new Response(), "1.99");
  expect(await recent.client.version()).toBe("1.47");
  expect(compareVersions("1.9", "1.41")).toBeLessThan(0);
});

test("no engine is one clear error with a hint", async () => {
  const client = new EngineClient(parseHost("unix:///nonexistent/docker.sock"));
  await expect(client.version()).rejects.toMatchObject({
    code: "engine-unreachable",
    hint: expect.stringContaining("DOCKER_HOST"),
  });
});

test("the host is found as docker finds it: DOCKER_HOST, a context, the default socket", async () => {
  using dir = tempDir();
  const id = new Bun.CryptoHasher("sha256").update("remote").digest("hex");
  await mkdir(dir.join("contexts/meta", id), { recursive: true });
  await writeFile(
    dir.join("contexts/meta", id, "meta.json"),
    JSON.stringify({ Name: "remote", Endpoints: { docker: { Host: "tcp://10.0.0.1:2376" } } }),
  );
  await writeFile(dir.join("config.json"), '{"currentContext":"remote"}');
  const env = { DOCKER_CONFIG: dir.path };
  expect((await engineHost(env)).url).toBe("http://10.0.0.1:2376");
  expect((await engineHost({ ...env, DOCKER_CONTEXT: "default" })).unix).toContain("docker.sock");
  expect((await engineHost({ ...env, DOCKER_HOST: "unix:///x.sock" })).unix).toBe("/x.sock");
  await expect(engineHost({ ...env, DOCKER_CONTEXT: "none" })).rejects.toMatchObject({ code: "not-found" });
  expect(() => parseHost("ssh://host")).toThrow("only unix://");
});

test("DOCKER_TLS_VERIFY takes certificates from DOCKER_CERT_PATH and speaks https", async () => {
  using dir = tempDir();
  for (const name of ["ca", "cert", "key"]) await writeFile(dir.join(`${name}.pem`), name);
  const host = await engineHost({
    DOCKER_HOST: "tcp://10.0.0.1:2376",
    DOCKER_TLS_VERIFY: "1",
    DOCKER_CERT_PATH: dir.path,
  });
  expect(host).toMatchObject({
    url: "https://10.0.0.1:2376",
    tls: { ca: "ca", cert: "cert", key: "key", rejectUnauthorized: true },
  });
});
