import { expect, test } from "bun:test";
import fc from "fast-check";
import { collect, streamOf } from "../../src/bytes.ts";
import { frames } from "../../src/docker-api/multiplexed.ts";
import type { SwarmTask } from "../../src/docker-api/swarm.ts";
import { milliseconds } from "../../src/duration.ts";
import { loadConvoxYml, parseConvoxYml } from "../../src/manifest/convox-yml.ts";
import { environmentOf } from "../../src/runtime/environment.ts";
import { merged } from "../../src/runtime/merge.ts";
import {
  resourceImage,
  resourceService,
  resourceUrl,
  resourceVariables,
} from "../../src/runtime/resources.ts";
import { routerConfig } from "../../src/runtime/router-config.ts";
import { serviceName } from "../../src/runtime/service-name.ts";
import { type Place, serviceSpec } from "../../src/runtime/service-spec.ts";
import { sick } from "../../src/runtime/sick.ts";
import { timerService } from "../../src/runtime/timers.ts";
import { shellWords } from "../../src/shell-words.ts";

/* How a release becomes services. */

const YML = `environment:
  - EVERYWHERE=yes
services:
  web:
    build: .
    port: 3000
    command: node "web server.js" --port 3000
    environment: [SECRET, MODE=production]
    health: {path: /check, interval: 2, timeout: 3, grace: 20}
    scale: {count: 4, cpu: 100, memory: 64}
    deployment: {minimum: 50, maximum: 200}
    termination: {grace: 9}
    volumes: [/data, /var/run/docker.sock:/socket]
  agent:
    build: .
    agent: true
    ports: [8125/udp]
    environment: ["*"]
`;

const PLACE = {
  rack: "rid",
  name: "east",
  node: "n1",
  network: "net",
  logDriver: "json-file",
  inside: "probe-volume",
};

async function spec(name: string, yml = YML, place: Place = PLACE) {
  const manifest = await loadConvoxYml(yml, "convox.yml", { SECRET: "s" });
  const service = manifest.services.find((one) => one.name === name);
  if (!service) throw new Error("no such service");
  const env = environmentOf(
    manifest,
    service,
    { SECRET: "s", OTHER: "o" },
    { app: "shop", build: "B1", description: "it", rack: "east", release: "R1" },
  );
  const app = { app: "shop", id: "ASHOP", release: "R1", build: "B1", services: [], routed: true };
  return { env, spec: serviceSpec(place, app, { service, image: "sha256:1", env }) };
}

test("convox.yml becomes a service's spec, with the rack's labels on all of it", async () => {
  const { spec: web } = await spec("web");
  expect(web).toMatchObject({
    Name: "east_shop_web",
    Labels: { "davit.rack": "rid", "davit.app": "shop", "davit.service": "web", "davit.release": "R1" },
    TaskTemplate: {
      ContainerSpec: {
        Image: "sha256:1",
        Args: ["node", "web server.js", "--port", "3000"],
        Labels: { "davit.release": "R1" },
        StopGracePeriod: 9e9,
        Healthcheck: {
          Test: ["CMD", "/.davit/probe", "3000", expect.stringMatching(/^GET \/check HTTP\/1\.1\r\n/)],
          ...{ Interval: 2e9, Timeout: 3e9, StartPeriod: 20e9 },
        },
        Mounts: [
          { Type: "volume", Source: "probe-volume", Target: "/.davit", ReadOnly: true },
          { Type: "volume", Source: "rid_ASHOP_web_data", Target: "/data" },
          { Type: "bind", Source: "/var/run/docker.sock", Target: "/socket" },
        ],
      },
      Resources: { Limits: { MemoryBytes: 64 * 1024 * 1024, Pids: 4096 }, Reservations: { NanoCPUs: 1e8 } },
      Networks: [{ Target: "net", Aliases: ["web", "_web_shop", "web.shop"] }],
      Placement: { Constraints: ["node.id==n1"] },
    },
    Mode: { Replicated: { Replicas: 4 } },
    // What holds a volume cannot run twice at once.
    UpdateConfig: { Parallelism: 4, Order: "stop-first", FailureAction: "pause" },
    EndpointSpec: { Mode: "dnsrr", Ports: [] },
  });
});

test("a routed service has a name that the router finds it by, in its app's own network, an internal one has none", async () => {
  const yml =
    "services:\n  web:\n    build: .\n    port: 80\n  db:\n    build: .\n    port: 5432\n    internal: true\n";
  expect((await spec("web", yml)).spec).toMatchObject({
    TaskTemplate: { Networks: [{ Target: "net", Aliases: ["web", "_web_shop", "web.shop"] }] },
  });
  expect((await spec("db", yml)).spec).toMatchObject({
    TaskTemplate: { Networks: [{ Target: "net", Aliases: ["db"] }] },
  });
});

test("the router answers for a service's names, and finds its processes by DNS", async () => {
  const yml =
    "services:\n  web:\n    build: .\n    port: https:8443\n    domain: shop.example.com,www.example.com\n";
  const { services } = await loadConvoxYml(yml, "convox.yml", {});
  const routes = services.map((service) => ({
    ...{ app: "shop", service },
    hosts: ["web.shop.apps.test", ...service.running.domains, "*.shop-web.apps.test", "www.example.com"],
  }));
  const config = routerConfig(routes, { domain: "apps.test", tls: "internal", https: 8443 });
  expect(config).toMatchObject({
    admin: { listen: "unix//config/admin.sock" },
    apps: {
      http: {
        servers: {
          davit: {
            listen: [":443"],
            routes: [
              {
                match: [{ host: ["web.shop.apps.test", "shop.example.com", "www.example.com"] }],
                handle: [
                  {
                    handler: "reverse_proxy",
                    dynamic_upstreams: { source: "a", name: "_web_shop.", port: "8443" },
                    transport: { tls: { insecure_skip_verify: true } },
                  },
                ],
              },
              // Wildcards come after all names.
              { match: [{ host: ["*.shop-web.apps.test"] }] },
              { handle: [{ handler: "static_response", status_code: 404 }] },
            ],
          },
          plain: {
            listen: [":80"],
            routes: [
              {
                handle: [
                  {
                    status_code: 308,
                    headers: { Location: ["https://{http.request.host}:8443{http.request.uri}"] },
                  },
                ],
              },
            ],
          },
        },
      },
      tls: { automation: { policies: [{ issuers: [{ module: "internal" }] }] } },
    },
  });
  const off = routerConfig([], { domain: "apps.test", tls: "off", https: 443 });
  expect(off).toMatchObject({
    apps: { http: { servers: { davit: { listen: [":80"], automatic_https: { disable: true } } } } },
  });
});

test("commands and entrypoints are words of a shell, or lists", async () => {
  const yml = `services:
  web:
    build: .
    entrypoint: [/bin/sh, -c]
    command: ["echo a  b", "it's"]
`;
  const { spec: web } = await spec("web", yml);
  expect(web).toMatchObject({
    TaskTemplate: { ContainerSpec: { Command: ["/bin/sh", "-c"], Args: ["echo a  b", "it's"] } },
  });
});

const TIMED = `services:
  web:
    build: .
    command: serve
    port: 3000
    volumes: [/data]
    resources: [main-db, cache:QUEUE]
    scale: {count: 3, memory: 64}
timers:
  nightly:
    service: web
    schedule: "30 3 * * ?"
    command: clean up
resources:
  main-db: {type: postgres, options: {version: 15}}
  cache: {type: redis}
`;

test("a timer is a service of one process that waits for its time and then becomes the command", async () => {
  const { timers, services } = await loadConvoxYml(TIMED, "convox.yml", {});
  const [[timer], [service]] = [timers, services];
  if (!timer || !service) throw new Error("they are not there");
  const running = timerService(timer, { service, image: "sha256:1", env: { SERVICE: "web", A: "1" } });
  const app = { app: "shop", id: "ASHOP", release: "R1", build: "B1", services: [], routed: true };
  expect(serviceSpec(PLACE, app, running)).toMatchObject({
    Name: "east_shop_timer-nightly",
    Mode: { Replicated: { Replicas: 1 } },
    UpdateConfig: { FailureAction: "continue" },
    TaskTemplate: {
      ContainerSpec: {
        Command: ["/.davit/timer", "40000000:8:fffffffe:1ffe:7f:0"],
        Args: ["clean", "up"],
        Env: ["SERVICE=timer-nightly", "A=1"],
        Mounts: [{ Source: "probe-volume", Target: "/.davit", ReadOnly: true }],
      },
      Networks: [{ Target: "net" }],
    },
  });
  for (const concurrency of ["allow", "replace"])
    expect(() => timerService({ ...timer, concurrency }, running)).toThrow("its concurrency is");
});

test("a resource is the same service in every release, and tells its parts in variables", async () => {
  const { resources } = await loadConvoxYml(TIMED, "convox.yml", {});
  const [database, cache] = resources;
  if (!database || !cache) throw new Error("they are not there");
  expect([database, cache].map(resourceImage)).toEqual(["postgres:15", "redis:7"]);
  const specs = ["R1", "R2"].map((release) => {
    const app = { app: "shop", id: "ASHOP", release, build: "B1", services: [], routed: true };
    return serviceSpec(PLACE, app, { ...resourceService(database, "pw"), image: "sha256:1", lasting: true });
  });
  expect(specs[0]).toEqual(specs[1]);
  expect(specs[0]).toMatchObject({
    Name: "east_shop_resource-main-db",
    UpdateConfig: { Order: "stop-first" },
    TaskTemplate: {
      ContainerSpec: {
        Env: ["POSTGRES_USER=app", "POSTGRES_DB=app", "POSTGRES_PASSWORD=pw"],
        Healthcheck: { Test: ["CMD", "/.davit/probe", "5432"] },
        Mounts: [{}, { Source: "rid_ASHOP_resource-main-db_var-lib-postgresql-data" }],
      },
      Networks: [{ Target: "net", Aliases: ["resource-main-db"] }],
    },
  });
  expect(resourceVariables("MAIN_DB_URL", resourceUrl(database, "pw"))).toEqual({
    MAIN_DB_URL: "postgres://app:pw@resource-main-db:5432/app",
    MAIN_DB_USER: "app",
    MAIN_DB_PASS: "pw",
    MAIN_DB_HOST: "resource-main-db",
    MAIN_DB_PORT: "5432",
    MAIN_DB_NAME: "app",
  });
  expect(resourceVariables("QUEUE", resourceUrl(cache, "pw"))).toEqual({
    QUEUE: "redis://resource-cache:6379/0",
  });
});

test("what a service or a timer speaks of must be there", async () => {
  const { mistakes } = await parseConvoxYml(
    TIMED.replace("  cache: {type: redis}", "").replace("service: web", "service: none"),
    "convox.yml",
    {},
  );
  expect(mistakes.map(({ message }) => message)).toEqual([
    "service web wants resource cache, which is not there",
    "timer nightly wants service none, which is not there",
  ]);
});

test("an agent runs on every node, at the node's own ports", async () => {
  const { spec: agent } = await spec("agent");
  expect(agent).toMatchObject({
    Mode: { Global: {} },
    UpdateConfig: { Order: "stop-first" },
    EndpointSpec: {
      Ports: [{ Protocol: "udp", TargetPort: 8125, PublishedPort: 8125, PublishMode: "host" }],
    },
  });
});

test("a service without volumes starts its next release before it stops the last", async () => {
  const plain = await spec("web", "services:\n  web:\n    build: .\n    port: 80\n");
  expect(plain.spec).toMatchObject({ UpdateConfig: { Order: "start-first", Parallelism: 1 } });
});

test("a container is told what its service declares, and who it is", async () => {
  const told = { APP: "shop", BUILD: "B1", BUILD_DESCRIPTION: "it", RACK: "east", RELEASE: "R1" };
  expect((await spec("web")).env).toEqual({
    ...{ ...told, EVERYWHERE: "yes", SECRET: "s", MODE: "production", SERVICE: "web", PORT: "3000" },
  });
  expect((await spec("agent")).env).toEqual({
    ...told,
    EVERYWHERE: "yes",
    SECRET: "s",
    OTHER: "o",
    SERVICE: "agent",
  });
});

test("names are what they say while they fit, and never more than 63 characters or the same", () => {
  expect(serviceName("east", "shop", "web")).toBe("east_shop_web");
  const long = [1, 2].map((n) => serviceName("east", "a".repeat(60), `web${n}`));
  expect(long.map((name) => name.length)).toEqual([63, 63]);
  expect(long[0]).not.toBe(long[1]);
});

const words: [string, string[]][] = [
  ["a b  c", ["a", "b", "c"]],
  [`a "b c" 'd "e'`, ["a", "b c", 'd "e']],
  [`a\\ b "c\\"d" "e\\f"`, ["a b", 'c"d', "e\\f"]],
  [`'' ""x`, ["", "x"]],
  ["   ", []],
];
for (const [text, expected] of words)
  test(`${JSON.stringify(text)} is ${expected.length} words`, () =>
    expect(shellWords(text)).toEqual(expected));

test("a quote that is not closed is a mistake", () => {
  expect(() => shellWords(`a "b`)).toThrow("a quote is not closed");
});

test("any words, each in single quotes, come back", () => {
  fc.assert(
    fc.property(fc.array(fc.string().filter((text) => !text.includes("'"))), (list) => {
      expect(shellWords(list.map((word) => `'${word}'`).join(" "))).toEqual(list);
    }),
  );
});

function task(State: string, Err = "", more: Partial<SwarmTask> = {}): SwarmTask {
  const Status = { State, Err, ContainerStatus: { ExitCode: 3 } };
  return {
    ID: "t",
    CreatedAt: new Date(0).toISOString(),
    DesiredState: "running",
    Spec: {},
    Status,
    ...more,
  };
}

const failed = task("failed", "task: non-zero exit (3)");
const verdicts: [string, SwarmTask[], boolean, string | undefined][] = [
  ["tasks that start", [task("starting"), task("running")], false, undefined],
  ["one that ended once", [failed, task("starting")], false, undefined],
  ["three that ended", [failed, failed, failed], false, "it ended with exit code 3"],
  ["one that ended, and Swarm has given up", [failed], true, "it ended with exit code 3"],
  ["an unhealthy one", [task("failed", "task: unhealthy container")], true, "its health check failed"],
  ["one that was refused", [task("rejected", "No such image: x")], false, "No such image: x"],
  ["one that found no place for long", [task("pending", "no suitable node")], false, "no suitable node"],
];
for (const [what, tasks, paused, why] of verdicts)
  test(`${what}: ${why ?? "there is hope"}`, () => expect(sick(tasks, paused, 60_000)).toBe(why));

test("frames are read as they were written, however they are cut", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 50 })),
      fc.integer({ min: 1, max: 20 }),
      async (parts, size) => {
        const bytes = Buffer.concat(
          parts.map((part) => {
            const head = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
            head.writeUInt32BE(part.byteLength, 4);
            return Buffer.concat([head, part]);
          }),
        );
        const pieces = Array.from(
          { length: Math.ceil(bytes.byteLength / size) },
          (_, i) => new Uint8Array(bytes.subarray(i * size, (i + 1) * size)),
        );
        const read = await collect(frames(streamOf(...pieces)), 1e6, "it");
        expect(Buffer.from(read).equals(Buffer.concat(parts))).toBe(true);
      },
    ),
  );
});

test("merged streams lose nothing, keep their own order, and end together when left", async () => {
  let ended = 0;
  async function* stream(name: string, wait: number) {
    try {
      for (let i = 0; i < 3; i++) {
        await Bun.sleep(wait);
        yield `${name}${i}`;
      }
    } finally {
      ended++;
    }
  }
  async function* each<T>(items: T[]): AsyncGenerator<T> {
    yield* items;
  }
  const all = await Array.fromAsync(merged<string>(each([stream("a", 1), stream("b", 3), stream("c", 0)])));
  expect(all.toSorted()).toEqual(["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"]);
  expect(all.filter((item) => item.startsWith("a"))).toEqual(["a0", "a1", "a2"]);
  ended = 0;
  for await (const item of merged<string>(each([stream("a", 0), stream("b", 1)]))) if (item === "b0") break;
  await Bun.sleep(10);
  expect(ended).toBe(2);
});

test("times are read as they are said", () => {
  expect(["90", "90s", "1h30m", "1.5m", "2d", "250ms"].map(milliseconds)).toEqual([
    90_000, 90_000, 5_400_000, 90_000, 172_800_000, 250,
  ]);
  for (const text of ["", "soon", "1x", "h", "-1s"]) expect(() => milliseconds(text)).toThrow("is not like");
});
