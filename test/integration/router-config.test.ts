import { expect, test } from "bun:test";
import fc from "fast-check";
import { parseConvoxYml } from "../../src/manifest/convox-yml.ts";
import { faultsOf } from "../../src/manifest/rules.ts";
import { isRouted, type Route, routerConfig } from "../../src/runtime/router-config.ts";
import { sh } from "../support/davit.ts";
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
