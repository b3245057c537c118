import { afterAll, beforeAll, expect, test } from "bun:test";
import { createServer, type ServerResponse } from "node:http";
import { EngineClient } from "../../src/docker-api/client.ts";
import { azureCredentials } from "../../src/http/azure.ts";
import { ecrCredentials } from "../../src/http/ecr.ts";
import { googleCredentials } from "../../src/http/google.ts";
import { parseReference } from "../../src/oci/reference.ts";
import { RegistryStore } from "../../src/oci/registry-store.ts";
import { parseRackUrl, RackClient } from "../../src/rack/rack-client.ts";
import { readText } from "../../src/response-body.ts";
import { Type } from "../../src/schema.ts";
import { sandbox } from "../support/davit.ts";

/* Others' answers that never end, stall or trickle: each reading ends, and holds little. */

const LONG = 60_000;
const MIB = 1024 * 1024;

beforeAll(() => {
  process.env["DAVIT_IDLE_TIMEOUT"] = "1";
});
afterAll(() => {
  delete process.env["DAVIT_IDLE_TIMEOUT"];
});

type Way = "endless" | "stalling" | "trickling";

/** Begins an answer, and never ends it. */
function misbehave(response: ServerResponse, way: Way, sent: (bytes: number) => void): void {
  response.write('{"token":"');
  if (way === "stalling") return;
  if (way === "trickling") {
    const timer = setInterval(() => response.write("x"), 200);
    response.on("close", () => clearInterval(timer));
    return;
  }
  const chunk = "x".repeat(64 * 1024);
  const more = (): void => {
    if (response.destroyed) return;
    sent(chunk.length);
    response.write(chunk, () => setImmediate(more));
  };
  more();
}

/** A registry that answers everything in this way; so does its token server. */
async function badServer(way: Way, status = 200) {
  let bytes = 0;
  const server = createServer((request, response) => {
    request.resume();
    const { host } = request.headers;
    if (request.url?.startsWith("/v2/"))
      response
        .writeHead(401, { "www-authenticate": `Bearer realm="http://${host}/token",service="x"` })
        .end();
    else if (request.url === "/_ping") response.writeHead(200, { "api-version": "1.41" }).end("OK");
    else {
      response.writeHead(status, { "content-type": "application/json" });
      misbehave(response, way, (count) => {
        bytes += count;
      });
    }
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  const address = server.address();
  const host = `127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  return {
    host,
    sent: () => bytes,
    [Symbol.dispose]: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

const ENV = { DOCKER_CONFIG: "/nonexistent", HOME: "/nonexistent" };
const READERS: [string, (host: string) => Promise<unknown>][] = [
  ["a token server", (host) => new RegistryStore(parseReference(`${host}/x`), { env: ENV }).resolve("1")],
  [
    "ECR",
    (host) =>
      ecrCredentials("123456789012.dkr.ecr.eu-west-1.amazonaws.com", {
        ...{ AWS_ACCESS_KEY_ID: "a", AWS_SECRET_ACCESS_KEY: "b", AWS_ENDPOINT_URL: `http://${host}` },
      }),
  ],
  [
    "Azure",
    (host) =>
      azureCredentials("x.azurecr.io", {
        ...{ AZURE_TENANT_ID: "t", AZURE_CLIENT_ID: "c", AZURE_CLIENT_SECRET: "s" },
        AZURE_AUTHORITY_HOST: `http://${host}`,
      }),
  ],
  [
    "an engine",
    async (host) =>
      await (await EngineClient.fromEnv({ DOCKER_HOST: `tcp://${host}` })).json(
        Type.Unknown(),
        "GET",
        "/info",
      ),
  ],
];

for (const [name, read] of READERS)
  for (const way of ["endless", "stalling"] as const)
    test(
      `${name} whose answer is ${way} is given up`,
      async () => {
        using server = await badServer(way);
        const began = performance.now();
        const error = await read(server.host).then(
          () => undefined,
          (e: unknown) => e,
        );
        expect(String(error)).toMatch(way === "endless" ? /larger than \d+ bytes/ : /nothing came for 1 s/);
        expect(performance.now() - began).toBeLessThan(12_000);
        expect(server.sent()).toBeLessThan(name === "an engine" ? 100 * MIB : 16 * MIB);
      },
      LONG,
    );

test(
  "a cloud's metadata service that stalls is no such machine",
  async () => {
    using server = await badServer("stalling");
    const env = { HOME: "/nonexistent", GCE_METADATA_HOST: server.host };
    expect(await googleCredentials(env)).toBeUndefined();
  },
  LONG,
);

test(
  "an answer that trickles ends, too",
  async () => {
    using server = await badServer("trickling");
    const response = await fetch(`http://${server.host}/x`);
    const error = await readText(response, 16 * 1024, "it").catch((e: unknown) => e);
    expect(String(error)).toMatch(/Cannot read it: it has not ended after \d s/);
  },
  LONG,
);

for (const way of ["endless", "stalling", "trickling"] as const)
  test(
    `a rack's error that is ${way} is an error with what has come`,
    async () => {
      using server = await badServer(way, 403);
      const client = new RackClient(parseRackUrl("team", `http://convox:x@${server.host}`));
      const began = performance.now();
      const error = await client.done("GET", "/apps").catch((e: unknown) => e);
      expect(String(error)).toContain('{"token":"');
      expect(performance.now() - began).toBeLessThan(5000);
    },
    LONG,
  );

test(
  "a credential helper may say as much as it likes",
  async () => {
    using box = sandbox();
    using server = await badServer("stalling");
    const helper = box.join("bin/docker-credential-loud");
    await Bun.write(helper, "#!/bin/sh\nhead -c 50000000 /dev/zero | tr '\\0' x; exit 1\n");
    await Bun.spawn(["chmod", "+x", helper]).exited;
    await Bun.write(box.join("docker/config.json"), JSON.stringify({ credsStore: "loud" }));
    const env = { PATH: `${box.join("bin")}:${process.env["PATH"]}`, DOCKER_CONFIG: box.join("docker") };
    const { code, stderr } = await box.run(["inspect", `${server.host}/x:1`], { env });
    expect([code, stderr]).toEqual([1, expect.stringMatching(/docker-credential-loud failed\n$/)]);
  },
  LONG,
);
