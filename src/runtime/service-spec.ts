import { createHash } from "node:crypto";
import type { Service } from "../manifest/convox-yml.ts";
import type { Health } from "../manifest/running.ts";
import { parseVolume } from "../manifest/volume.ts";
import { shellWords } from "../shell-words.ts";
import { logBounds, MOST_PROCESSES } from "./bounds.ts";
import { INSIDE_SERVICE } from "./inside/service.ts";
import { INSIDE } from "./inside/volume.ts";
import { isRouted, oldUpstreamName, upstreamName } from "./router-config.ts";
import type { RunningApp, RunningService } from "./runtime.ts";
import { serviceName } from "./service-name.ts";

/** What things of a rack in an engine are known by; nothing without it is touched. */
export const RACK = "davit.rack";
export const APP = "davit.app";
export const SERVICE = "davit.service";
export const RELEASE = "davit.release";
/** A label of tasks: a hash of their spec, which tells tasks of an older spec from those of a newer one. */
export const SPEC = "davit.spec";
/** On containers that run one command. */
export const ONE_OFF = "davit.one-off";

const SECOND = 1_000_000_000;
const MEGABYTE = 1024 * 1024;
const PROBE = `${INSIDE}/probe`;
/** How long Swarm watches a new task for an early end, in seconds, before it goes on with the next: it is well already then. */
const MONITOR = 1;
/** Checks that may fail one after the other. */
const RETRIES = 3;

export interface Place {
  /** The rack's id, and its name. */
  rack: string;
  name: string;
  /** The id of davit's own node. */
  node: string;
  /** The id of the app's own network. */
  network: string;
  /** Where logs of the engine go. */
  logDriver: string;
  /** The volume with our programs for inside of containers. */
  inside: string | undefined;
}

/** A service as Swarm is told of it: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Service/operation/ServiceCreate */
export function serviceSpec(
  place: Place,
  { app, id, ...of }: RunningApp,
  running: RunningService,
): ServiceSpec {
  const { service } = running;
  // What is to last must not change with each release.
  const release = running.lasting ? "" : of.release;
  const { scale, agent, singleton } = service.running;
  const labels = { [RACK]: place.rack, [APP]: app, [SERVICE]: service.name };
  const logs = logBounds(place.logDriver);
  const order = agent || singleton || service.running.volumes.length > 0 ? "stop-first" : "start-first";
  return {
    Name: serviceName(place.name, app, service.name),
    Labels: { ...labels, [RELEASE]: release },
    TaskTemplate: marked({
      ContainerSpec: containerSpec(place, id, { ...labels, [RELEASE]: release }, running),
      Resources: {
        Limits: {
          Pids: MOST_PROCESSES,
          ...(scale.memory > 0 ? { MemoryBytes: scale.memory * MEGABYTE } : {}),
        },
        Reservations: { NanoCPUs: scale.cpu * 1_000_000, MemoryBytes: scale.memory * MEGABYTE },
      },
      RestartPolicy: { Condition: "any", Delay: 2 * SECOND },
      ...(logs ? { LogDriver: { Name: logs.driver, Options: logs.options } } : {}),
      ...(isHere(running) ? { Placement: { Constraints: [`node.id==${place.node}`] } } : {}),
      Networks: [{ Target: place.network, Aliases: aliasesOf(app, service) }],
    }),
    Mode: agent ? { Global: {} } : { Replicated: { Replicas: scale.min } },
    UpdateConfig: {
      Parallelism: parallelism(running),
      Order: order,
      // A command that runs by the clock may end at any moment, well or not.
      FailureAction: running.before ? "continue" : "pause",
      Monitor: MONITOR * SECOND,
    },
    EndpointSpec: { Mode: "dnsrr", Ports: hostPorts(running) },
  };
}

/** What is read of a service's spec again. */
export interface ServiceSpec {
  TaskTemplate: TaskTemplate;
  [field: string]: unknown;
}

interface TaskTemplate {
  ContainerSpec: { Labels: Record<string, string>; [field: string]: unknown };
  [field: string]: unknown;
}

function marked(template: TaskTemplate): TaskTemplate {
  const { ContainerSpec: spec } = template;
  const mark = createHash("sha256").update(JSON.stringify(template)).digest("hex").slice(0, 16);
  return { ...template, ContainerSpec: { ...spec, Labels: { ...spec.Labels, [SPEC]: mark } } };
}

/** The last is what routers of earlier davits look for: they have it until they know of this release. */
function aliasesOf(app: string, service: Service): string[] {
  const { name } = service;
  return [name, ...(isRouted(service) ? [upstreamName(app, name), oldUpstreamName(app, name)] : [])];
}

/** What has a volume of its own is where that is; other nodes would give it an empty one. */
function isHere({ here, service }: RunningService): boolean {
  const { agent, volumes } = service.running;
  return here === true || (!agent && volumes.some((volume) => parseVolume(volume).kind === "own"));
}

function containerSpec(
  place: Place,
  id: string,
  labels: Record<string, string>,
  { service, image, env, before }: RunningService,
): TaskTemplate["ContainerSpec"] {
  const { running, command, entrypoint, port } = service;
  const health = place.inside === undefined ? undefined : healthOf(port, running.health);
  return {
    Image: image,
    ...(before || entrypoint !== "" ? { Command: [...(before ?? []), ...shellWords(entrypoint)] } : {}),
    ...(command === "" ? {} : { Args: shellWords(command) }),
    Env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
    Labels: labels,
    Init: running.init,
    StopGracePeriod: running.grace * SECOND,
    ...(health ? { Healthcheck: health } : {}),
    Mounts: [
      ...insideMount(place.inside, service, health !== undefined || before !== undefined),
      ...running.volumes.map((volume) => mountOf(labels, id, volume)),
    ],
  };
}

/** Whoever fills it may write there. */
function insideMount(volume: string | undefined, { name }: Service, isUsed: boolean): object[] {
  const fills = name === INSIDE_SERVICE;
  return isUsed || fills ? [{ Type: "volume", Source: volume, Target: INSIDE, ReadOnly: !fills }] : [];
}

/** Asked from inside the container, by a program of ours: an image need not hold anything for it. */
function healthOf(port: string, { path, grace, interval, timeout, disabled }: Health): object | undefined {
  const [, scheme = "http", number] = /^(?:([a-z]+):)?(\d+)$/.exec(port) ?? [];
  if (number === undefined || disabled) return undefined;
  const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: davit\r\nConnection: close\r\n\r\n`;
  return {
    // Other schemes than HTTP have no words for it: it is enough that somebody listens.
    Test: ["CMD", PROBE, number, ...(scheme === "http" ? [request] : [])],
    Interval: interval * SECOND,
    Timeout: timeout * SECOND,
    StartPeriod: Math.max(grace, interval) * SECOND,
    // Engines before 25 do not know it, and ask first after a whole interval.
    StartInterval: SECOND,
    Retries: RETRIES,
  };
}

/** A volume of the service's own, or a directory of the node's. */
function mountOf(labels: Record<string, string>, id: string, text: string): object {
  const { kind, source, target, readOnly } = parseVolume(text);
  const mount = { Target: target, ...(readOnly ? { ReadOnly: true } : {}) };
  if (kind === "host") return { Type: "bind", Source: source, ...mount };
  // No name before the last has a `_`, so no two services share one.
  const owner = [labels[RACK], id, labels[SERVICE], source].join("_");
  return { Type: "volume", Source: owner, ...mount, VolumeOptions: { Labels: labels } };
}

/** As many at once as `deployment` lets be more, or less, than the count. */
function parallelism({ service }: RunningService): number {
  const { scale, deployment } = service.running;
  const spare = Math.max(deployment.maximum - 100, 100 - deployment.minimum);
  return Math.max(1, Math.floor((scale.min * spare) / 100));
}

/** Each node's own port: Swarm's mesh needs what many kernels lack. */
function hostPorts({ service }: RunningService): object[] {
  if (!service.running.agent) return [];
  return service.running.ports.map((port) => {
    const [number, protocol = "tcp"] = port.split("/");
    return {
      Protocol: protocol,
      TargetPort: Number(number),
      PublishedPort: Number(number),
      PublishMode: "host",
    };
  });
}
