import type { YAMLMap } from "yaml";
import type { YamlReader } from "./yaml-reader.ts";

/** How a service runs, as convox.yml says; what it does not say has the original's defaults. */
export interface Running {
  /** One on each node. */
  agent: boolean;
  /** Other services reach it, the world does not. */
  internal: boolean;
  /** Names the router answers for, beside the service's own. */
  domains: string[];
  health: Health;
  /** Further ports, `PORT` or `PORT/udp`. */
  ports: string[];
  scale: Scale;
  /** How many run while a release replaces another, in percent of the count. */
  deployment: { minimum: number; maximum: number };
  /** Seconds from the stop signal to the kill. */
  grace: number;
  /** Whether a first process of ours reaps children and passes signals on. */
  init: boolean;
  privileged: boolean;
  /** Only one at any time, also while a release replaces another. */
  singleton: boolean;
  /** Databases and the like: `NAME` or `NAME:VARIABLE`. */
  resources: string[];
  /** `PATH`, for the service's own, or `SOURCE:PATH`. */
  volumes: string[];
}

export interface Health {
  path: string;
  /** Seconds. */
  grace: number;
  interval: number;
  timeout: number;
  disabled: boolean;
}

export interface Scale {
  min: number;
  max: number;
  /** Thousandths of a processor. */
  cpu: number;
  /** Megabytes. */
  memory: number;
}

const CPU = 250;
const MEMORY = 512;

export function readRunning(reader: YamlReader, service: YAMLMap | undefined): Running {
  const agent = readAgent(reader, service);
  const deployment = reader.map(service, "deployment");
  const singleton = reader.flag(service, "singleton") ?? false;
  const spare = agent || singleton ? 0 : 50;
  return {
    ...{ agent, singleton },
    internal: reader.flag(service, "internal") ?? false,
    domains: reader
      .texts(service && reader.value(service, "domain"))
      .flatMap((text) => text.split(","))
      .map((text) => text.trim().toLowerCase())
      .filter(Boolean),
    health: readHealth(reader, service),
    ports: readPorts(reader, service),
    scale: readScale(reader, service),
    deployment: {
      minimum: reader.number(deployment, "minimum") ?? spare,
      maximum: reader.number(deployment, "maximum") ?? (spare === 0 ? 100 : 200),
    },
    grace: reader.number(reader.map(service, "termination"), "grace") ?? 30,
    init: reader.flag(service, "init") ?? true,
    privileged: reader.flag(service, "privileged") ?? false,
    resources: reader.texts(service && reader.value(service, "resources")),
    volumes: reader.texts(service && reader.value(service, "volumes")),
  };
}

function readAgent(reader: YamlReader, service: YAMLMap | undefined): boolean {
  const node = service && reader.value(service, "agent");
  const map = reader.asMap(node);
  return map ? (reader.flag(map, "enabled") ?? true) : (reader.flag(service, "agent") ?? false);
}

function readHealth(reader: YamlReader, service: YAMLMap | undefined): Health {
  const node = service && reader.value(service, "health");
  const map = reader.asMap(node);
  const interval = reader.number(map, "interval", 1) ?? 5;
  return {
    path: (map ? reader.text(map, "path") : reader.text(service, "health")) || "/",
    grace: reader.number(map, "grace") ?? interval,
    interval,
    timeout: reader.number(map, "timeout", 1) ?? Math.max(1, interval - 1),
    disabled: reader.flag(map, "disable") ?? false,
  };
}

function readPorts(reader: YamlReader, service: YAMLMap | undefined): string[] {
  const node = service && reader.value(service, "ports");
  const ports = reader.texts(node);
  for (const port of ports)
    if (!/^\d{1,5}(\/(tcp|udp))?$/.test(port))
      reader.mistake(reader.line(node), `port ${JSON.stringify(port)} is not like 5000 or 5000/udp`);
  return ports;
}

function readScale(reader: YamlReader, service: YAMLMap | undefined): Scale {
  const node = service && reader.value(service, "scale");
  const map = reader.asMap(node);
  const count = map ? reader.text(map, "count") : reader.text(service, "scale");
  const [, min = "1", max = min] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(count ?? "1") ?? [];
  if (count !== undefined && !/^\d{1,4}(-\d{1,4})?$/.test(count))
    reader.mistake(reader.line(node), `scale ${JSON.stringify(count)} is neither a number nor like 1-3`);
  return {
    min: Number(min),
    max: Math.max(Number(min), Number(max)),
    cpu: reader.number(map, "cpu") ?? CPU,
    memory: reader.number(map, "memory") ?? MEMORY,
  };
}
