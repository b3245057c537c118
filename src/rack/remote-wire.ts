import { BuildStep } from "../bundle/record.ts";
import { type Static, Type } from "../schema.ts";
import { type App, type Build, BuildStatus, type Release, type System, ZERO_TIME } from "./rack.ts";
import type { Process, ResourceInfo, ServiceInfo } from "./running.ts";

/* A rack's answers as any rack may give them: an older or newer one leaves some fields out, and adds others. */

const Text = Type.Optional(Type.String());
const Texts = Type.Optional(Type.Union([Type.Record(Type.String(), Type.String()), Type.Null()]));

export const WireApp = Type.Object({
  name: Type.String(),
  generation: Text,
  locked: Type.Optional(Type.Boolean()),
  release: Text,
  router: Text,
  status: Text,
  parameters: Texts,
  problem: Text,
});

export const WireProcess = Type.Object({
  id: Type.String(),
  app: Text,
  name: Text,
  service: Text,
  release: Text,
  status: Text,
  command: Text,
  started: Text,
});

export const WireBuild = Type.Object({
  id: Type.String(),
  app: Text,
  description: Text,
  entrypoint: Text,
  "git-sha": Text,
  logs: Text,
  manifest: Text,
  process: Text,
  release: Text,
  reason: Text,
  repository: Text,
  status: Text,
  started: Text,
  ended: Text,
  "wildcard-domain": Type.Optional(Type.Boolean()),
  digest: Text,
  store: Text,
  images: Texts,
  steps: Type.Optional(Type.Array(BuildStep)),
});

export const WireService = Type.Object({
  name: Type.String(),
  count: Type.Optional(Type.Integer()),
  cpu: Type.Optional(Type.Integer()),
  memory: Type.Optional(Type.Integer()),
  domain: Text,
  ports: Type.Optional(
    Type.Union([Type.Array(Type.Object({ container: Type.Optional(Type.Integer()) })), Type.Null()]),
  ),
});

export const WireResource = Type.Object({ name: Type.String(), type: Text, status: Text, url: Text });

export const WireRelease = Type.Object({
  id: Type.String(),
  app: Text,
  build: Text,
  env: Text,
  manifest: Text,
  description: Text,
  created: Text,
});

export const WireSystem = Type.Object({
  name: Text,
  provider: Text,
  status: Text,
  version: Text,
  domain: Text,
  region: Text,
  count: Type.Optional(Type.Integer()),
  parameters: Texts,
  outputs: Texts,
});

export function list<T extends ReturnType<typeof Type.Object>>(of: T) {
  return Type.Union([Type.Array(of), Type.Null()]);
}

export function appOf(wire: Static<typeof WireApp>): App {
  const { name, generation = "", locked = false, release = "", router = "", status = "", parameters } = wire;
  const app = { name, generation, locked, release, router, status, parameters: parameters ?? {} };
  return wire.problem ? { ...app, problem: wire.problem } : app;
}

export function serviceOf(wire: Static<typeof WireService>): ServiceInfo {
  const { name, count = 0, cpu = 0, memory = 0, domain = "", ports } = wire;
  return {
    name,
    count,
    cpu,
    memory,
    domain,
    ports: (ports ?? []).flatMap(({ container }) => container ?? []),
  };
}

export function resourceOf({
  name,
  type = "",
  status = "",
  url = "",
}: Static<typeof WireResource>): ResourceInfo {
  return { name, type, status, url };
}

/** A service's name stands in `name` of racks that have no `service`. */
export function processOf(wire: Static<typeof WireProcess>, app: string): Process {
  const { id, name = "", release = "", status = "", command = "", started = ZERO_TIME } = wire;
  return { id, app: wire.app ?? app, service: wire.service || name, release, status, command, started };
}

export function buildOf(wire: Static<typeof WireBuild>, app: string): Build {
  const status = BuildStatus.anyOf.find((one) => one.const === wire.status)?.const ?? "running";
  const text = (name: "description" | "entrypoint" | "logs" | "manifest" | "process" | "release") =>
    wire[name] ?? "";
  return {
    id: wire.id,
    app: wire.app ?? app,
    description: text("description"),
    entrypoint: text("entrypoint"),
    "git-sha": wire["git-sha"] ?? "",
    logs: text("logs"),
    manifest: text("manifest"),
    process: text("process"),
    release: text("release"),
    reason: wire.reason ?? "",
    repository: wire.repository ?? "",
    status,
    started: wire.started ?? ZERO_TIME,
    ended: wire.ended ?? ZERO_TIME,
    "wildcard-domain": wire["wildcard-domain"] ?? false,
    ...(wire.digest ? { digest: wire.digest } : {}),
    ...(wire.store ? { store: wire.store } : {}),
    ...(wire.images ? { images: wire.images } : {}),
    ...(wire.steps ? { steps: wire.steps } : {}),
  };
}

export function releaseOf(wire: Static<typeof WireRelease>, app: string): Release {
  const { id, build = "", env = "", manifest = "", description = "", created = ZERO_TIME } = wire;
  return { id, app: wire.app ?? app, build, env, manifest, description, created };
}

export function systemOf(wire: Static<typeof WireSystem>, name: string): System {
  const { provider = "", status = "", version = "", domain = "", region = "", count = 1 } = wire;
  const { parameters, outputs } = wire;
  return {
    ...{ name: wire.name || name, provider, status, version, domain, region, count },
    ...{ parameters: parameters ?? {}, outputs: outputs ?? {} },
  };
}

export function segment(text: string): string {
  return encodeURIComponent(text);
}
