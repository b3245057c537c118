import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import fc from "fast-check";
import { parseConvoxYml } from "../../src/manifest/convox-yml.ts";
import { faultsOf } from "../../src/manifest/rules.ts";
import { isRouted, type Route, routerConfig } from "../../src/runtime/router-config.ts";
import { sh } from "../support/davit.ts";
import { freePort } from "../support/registry.ts";
import { tempDir } from "../support/temp.ts";

/* No manifest that passes makes Caddy refuse its configuration. */

const label = fc.constantFrom(
  "a",
  "b-c",
  "xn--bcher-kva",
  "x".repeat(63),
  "0",
  "*",
  "{env.HOME}",
  "a_b",
  "A",
  "é",
  "",
  "-a",
  "a\\n",
);
const domain = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."));
const port = fc.oneof(
  fc.constantFrom("80", "https:8443", "tcp:5432", "grpc:1", "h2c:80", "0", "65536", "99999", "http:00080"),
  fc.integer({ min: 0, max: 70_000 }).map(String),
);
const service = fc.record({ domains: fc.array(domain, { maxLength: 4 }), port, wildcard: fc.boolean() });

test("Caddy takes the routes of any manifests that pass", async () => {
  const routes: Route[] = [];
  const services = fc.sample(service, 600);
  let passed = 0;
  for (const [n, { domains, port: at, wildcard }] of services.entries()) {
    const yml = `services:\n  web:\n    build: .\n    port: ${at}\n    domain: ${JSON.stringify(domains)}\n`;
    const { manifest, mistakes } = await parseConvoxYml(yml, "convox.yml", {});
    if (mistakes.length > 0 || faultsOf(manifest).length > 0) continue;
    passed++;
    for (const one of manifest.services.filter(isRouted))
      routes.push({
        ...{ app: `app${n}`, service: one },
        hosts: [
          `web.app${n}.apps.test`,
          ...one.running.domains,
          ...(wildcard ? [`*.app${n}-web.apps.test`] : []),
        ],
      });
  }
  expect(passed).toBeGreaterThan(50);
  using dir = tempDir();
  for (const tls of ["off", "internal", "acme"] as const) {
    const config = routerConfig(routes, { domain: "apps.test", tls, https: 443 });
    await Bun.write(dir.join(`${tls}.json`), JSON.stringify(config));
    const env = { ...process.env, HOME: dir.path };
    await sh(["caddy", "validate", "--config", dir.join(`${tls}.json`)], { env });
  }
}, 60_000);

/** A name server over TCP that knows no name until it is told to, and then one address of each. */
function nameServer() {
  const state = { asked: 0, known: false };
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: (socket, message) => {
        state.asked++;
        const query = message.subarray(2);
        const end = query.indexOf(0, 12) + 5;
        const isFound = state.known && query.readUInt16BE(end - 4) === 1;
        const head = [...query.subarray(0, 2), 0x81, 0x80, 0, 1, 0, isFound ? 1 : 0, 0, 0, 0, 0];
        const found = isFound ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1] : [];
        const answer = [...head, ...query.subarray(12, end), ...found];
        socket.write(Buffer.from([0, answer.length, ...answer]));
      },
    },
  });
  return { state, port: server.port, [Symbol.dispose]: () => server.stop(true) };
}

test("a request whose service has no process waits for one a while, and asks for its name a few times only", async () => {
  using names = nameServer();
  using dir = tempDir();
  const web = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: () => new Response("hello"),
  });
  const { manifest } = await parseConvoxYml(
    `services:\n  web:\n    build: .\n    port: ${web.port}\n`,
    "convox.yml",
    {},
  );
  const routes = manifest.services.map((service) => ({ app: "shop", service, hosts: ["shop.test"] }));
  const [port, admin] = [await freePort(), dir.join("admin.sock")];
  const config = JSON.stringify(routerConfig(routes, { domain: "apps.test", tls: "off", https: 443 }))
    .replaceAll("127.0.0.11:53", `127.0.0.1:${names.port}`)
    .replace('":80"', `"127.0.0.1:${port}"`)
    .replace("/config/admin.sock", admin);
  await Bun.write(dir.join("caddy.json"), config);
  const env = { ...process.env, HOME: dir.path };
  const caddy = Bun.spawn(["caddy", "run", "--config", dir.join("caddy.json")], { env, stderr: "ignore" });
  const ask = (): Promise<string> =>
    fetch(`http://127.0.0.1:${port}/`, { headers: { host: "shop.test" } })
      .then(async (response) => `${response.status} ${await response.text()}`)
      .catch(String);
  try {
    for (let tries = 0; tries < 100 && !existsSync(admin); tries++) await Bun.sleep(50);
    const asked = Promise.all(Array.from({ length: 20 }, ask));
    await Bun.sleep(3000);
    expect(names.state.asked).toBeGreaterThan(20);
    expect(names.state.asked).toBeLessThan(20 * 2 * 20);
    names.state.known = true;
    expect(new Set(await asked)).toEqual(new Set(["200 hello"]));
    expect(await ask()).toBe("200 hello");
  } finally {
    caddy.kill();
    await caddy.exited;
    await web.stop(true);
  }
}, 30_000);
