import type { ByteStream } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import type { EngineClient } from "../docker-api/client.ts";
import { type EngineContainer, EngineContainers } from "../docker-api/containers.ts";
import { EngineImages } from "../docker-api/images.ts";
import { EngineSwarm, type SwarmService, type SwarmTask } from "../docker-api/swarm.ts";
import { DavitError, hasCode } from "../errors.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { parseReference } from "../oci/reference.ts";
import { check, Type } from "../schema.ts";
import { insideVolume } from "./inside/volume.ts";
import { merged } from "./merge.ts";
import type { Route } from "./router-config.ts";
import type {
  AppLogOptions,
  ApplyEvents,
  OneOff,
  Process,
  RunningApp,
  RunningService,
  Runtime,
} from "./runtime.ts";
import {
  APP,
  ONE_OFF,
  type Place,
  RACK,
  RELEASE,
  SERVICE,
  serviceName,
  serviceSpec,
} from "./service-spec.ts";
import { sick } from "./sick.ts";
import { type RouterSettings, SwarmRouter } from "./swarm-router.ts";

/** Between looks at tasks, in milliseconds. */
const POLL = 500;
/** How long services may take to get well, beside what their health checks want, in milliseconds. */
const PATIENCE = 5 * 60 * 1000;
/** How long a service without a health check has to run, in milliseconds. */
const STEADY = 5000;
/** Lines of a failing task that are told. */
const LAST_LINES = 10;
/** Times a service is read and written again, where another has changed it in between. */
const TRIES = 5;

const Template = Type.Object({ ForceUpdate: Type.Optional(Type.Integer()) });

/** Releases as services of Docker Swarm. What lacks the rack's label is not touched. */
export class SwarmRuntime implements Runtime {
  readonly #swarm: EngineSwarm;
  readonly #containers: EngineContainers;
  readonly #images: EngineImages;
  readonly #router: SwarmRouter;
  readonly #rack: { id: string; name: string };

  constructor(client: EngineClient, rack: { id: string; name: string }) {
    this.#swarm = new EngineSwarm(client);
    this.#containers = new EngineContainers(client);
    this.#images = new EngineImages(client);
    this.#router = new SwarmRouter(this.#swarm, this.#containers, rack);
    this.#rack = rack;
  }

  #labels(app: string): Record<string, string> {
    return { [RACK]: this.#rack.id, [APP]: app };
  }

  #network(app: string): string {
    return serviceName(this.#rack.name, app);
  }

  async apply(app: RunningApp, events: ApplyEvents, signal: AbortSignal): Promise<void> {
    const place = await this.#place(app);
    const before = await this.#swarm.services(this.#labels(app.app));
    // What others need comes first, and is not touched where it is as it should be.
    for (const lasting of [true, false]) {
      const services = app.services.filter((service) => (service.lasting ?? false) === lasting);
      await Promise.all(services.map((service) => this.#put(place, app, service, before)));
      await this.#untilWell({ ...app, services }, events, signal);
    }
    const wanted = new Set(app.services.map(({ service }) => service.name));
    for (const { ID, Spec } of before)
      if (!wanted.has(Spec.Labels?.[SERVICE] ?? "")) await this.#swarm.remove(ID);
  }

  async architecture(): Promise<string> {
    const { architecture: name } = await this.#swarm.info();
    return { x86_64: "amd64", aarch64: "arm64" }[name] ?? name;
  }

  async findImage(name: string): Promise<string | undefined> {
    return (await this.#images.find(name))?.Id;
  }

  async pullImage(name: string, login: Credentials | undefined): Promise<void> {
    const { host, repository, tag, digest } = parseReference(name);
    const auth = login && { username: login.username, password: login.password, serveraddress: host };
    for await (const _ of this.#images.pull(`${host}/${repository}`, digest ?? tag ?? "", auth));
  }

  async load(archive: ByteStream): Promise<void> {
    await this.#images.load(archive);
  }

  async nameImage(id: string, repository: string, tag: string): Promise<void> {
    await this.#images.tag(id, repository, tag);
  }

  async tagsOf(repository: string): Promise<string[]> {
    const names = await this.#images.names(repository);
    return names.map(({ name }) => name.slice(repository.length + 1));
  }

  async forgetName(repository: string, tag: string): Promise<void> {
    // Swarm keeps what its last tasks have left, and with it their image.
    await this.#images.remove(`${repository}:${tag}`, { force: true });
  }

  async #place({ app, services, routed }: RunningApp): Promise<Place> {
    const network = await this.#swarm.network(this.#network(app), this.#labels(app));
    const [first] = services;
    const architecture = await this.architecture();
    const inside = first && (await insideVolume(this.#containers, architecture, this.#rack.id, first.image));
    const router = routed ? await this.#router.network() : undefined;
    return { rack: this.#rack.id, name: this.#rack.name, network, router, inside };
  }

  async #put(place: Place, app: RunningApp, service: RunningService, before: SwarmService[]): Promise<void> {
    const spec = serviceSpec(place, app, await this.#withEntrypoint(service));
    let known = before.find(({ Spec }) => Spec.Labels?.[SERVICE] === service.service.name);
    // Swarm does not turn one on each node into so many, nor back.
    if (known && isGlobal(known) !== service.service.running.agent) {
      await this.#swarm.remove(known.ID);
      known = undefined;
    }
    for (let tries = 1; ; tries++) {
      if (!known) return void (await this.#swarm.create(spec));
      try {
        return await this.#swarm.update(known, spec);
      } catch (error) {
        if (!hasCode(error, "outdated") || tries === TRIES) throw error;
        const now = await this.#swarm.services(this.#labels(app.app));
        known = now.find(({ Spec }) => Spec.Labels?.[SERVICE] === service.service.name);
      }
    }
  }

  /** What stands before a command stands before the image's entrypoint, too. */
  async #withEntrypoint(running: RunningService): Promise<RunningService> {
    if (!running.before) return running;
    const { Config } = await this.#images.inspect(running.image);
    return { ...running, before: [...running.before, ...(Config?.Entrypoint ?? [])] };
  }

  /** Every service has all its tasks of this release, and Swarm has nothing left to replace. */
  async #untilWell(app: RunningApp, { onState }: ApplyEvents, signal: AbortSignal): Promise<void> {
    const seen = new Map<string, string>();
    for (const end = performance.now() + patience(app); ; await Bun.sleep(POLL)) {
      signal.throwIfAborted();
      const labels = this.#labels(app.app);
      const [services, all] = await Promise.all([this.#swarm.services(labels), this.#swarm.tasks(labels)]);
      const tasks = all.filter((task) => ["", app.release].includes(labelsOf(task)[RELEASE] ?? ""));
      for (const task of tasks) {
        if (seen.get(task.ID) === task.Status.State) continue;
        seen.set(task.ID, task.Status.State);
        onState?.(processOf(task));
      }
      const late = performance.now() > end;
      const waiting = app.services.filter((service) => !isWell(service, services, tasks));
      if (waiting.length === 0) return;
      for (const service of waiting) {
        const mine = tasks.filter(
          (task) => labelsOf(task)[SERVICE] === service.service.name && !hasRun(service, task),
        );
        const why =
          sick(mine, isPaused(service, services)) ?? (late ? "it did not get well in time" : undefined);
        if (why !== undefined) throw await this.#unwell(service.service.name, why, mine);
      }
    }
  }

  async #unwell(service: string, why: string, tasks: SwarmTask[]): Promise<DavitError> {
    const [last] = tasks
      .filter(({ Status }) => Status.ContainerStatus?.ContainerID)
      .sort((a, b) => b.CreatedAt.localeCompare(a.CreatedAt));
    const lines = last ? await this.#swarm.lastLines(last.ID, LAST_LINES).catch(() => []) : [];
    const said = lines.map((line) => `\n  ${line}`).join("");
    return new DavitError(
      "conflict",
      `service ${service}: ${why}${said === "" ? "" : `; its last lines:${said}`}`,
    );
  }

  async route(routes: readonly Route[], settings: RouterSettings | undefined): Promise<void> {
    if (settings) await this.#router.tell(routes, settings);
    else await this.#router.remove();
  }

  async remove(app: string): Promise<void> {
    const services = await this.#swarm.services(this.#labels(app));
    await Promise.all(services.map(({ ID }) => this.#swarm.remove(ID)));
    await this.#untilGone(app);
    await this.#swarm.removeNetwork(this.#network(app)).catch(() => undefined);
  }

  /** Tasks end after their service is gone, and hold its network until then. */
  async #untilGone(app: string): Promise<void> {
    for (const end = performance.now() + PATIENCE; performance.now() < end; await Bun.sleep(POLL)) {
      const tasks = await this.#swarm.tasks(this.#labels(app));
      if (!tasks.some(({ Status }) => Status.State === "running")) return;
    }
  }

  async exec(
    app: string,
    id: string,
    command: readonly string[],
    to: Attachment,
  ): Promise<number | undefined> {
    const container = await this.#container(app, id);
    return container === undefined ? undefined : await this.#containers.exec(container, command, to);
  }

  async #container(app: string, id: string): Promise<string | undefined> {
    const tasks = await this.#swarm.tasks(this.#labels(app));
    const container = tasks.find((task) => processOf(task).id === id)?.Status.ContainerStatus?.ContainerID;
    return container || (await this.#oneOffs(app)).find((one) => oneOffId(one) === id)?.Id;
  }

  async run(app: RunningApp, one: OneOff, to: Attachment): Promise<number> {
    const id = await this.#createOneOff(app, one, to);
    try {
      return await this.#containers.run(id, to);
    } finally {
      await this.#containers.remove(id);
    }
  }

  async runDetached(app: RunningApp, one: OneOff): Promise<string> {
    const Id = await this.#createOneOff(app, one);
    await this.#containers.start(Id);
    return oneOffId({ Id, Labels: { [SERVICE]: one.service } });
  }

  /** On this node: a container of the app's network that Swarm knows nothing of. */
  async #createOneOff(app: RunningApp, one: OneOff, to?: Attachment): Promise<string> {
    const { service, command } = one;
    const running = app.services.find((each) => each.service.name === service);
    if (!running) throw new DavitError("not-found", `no such service: ${service}`);
    const network = await this.#swarm.network(this.#network(app.app), this.#labels(app.app));
    return await this.#containers.create({
      Image: running.image,
      Cmd: command,
      Env: Object.entries(running.env).map(([name, value]) => `${name}=${value}`),
      Labels: { ...this.#labels(app.app), [SERVICE]: service, [RELEASE]: app.release, [ONE_OFF]: "yes" },
      ...(to ? { OpenStdin: true, StdinOnce: true, AttachStdin: true, Tty: to.terminal !== undefined } : {}),
      HostConfig: {
        Init: running.service.running.init,
        NetworkMode: network,
        AutoRemove: to === undefined,
        Memory: (one.memory ?? running.service.running.scale.memory) * 1024 * 1024,
        // Of 1024 for each processor, when others want it too.
        CpuShares: Math.max(2, Math.round(((one.cpu ?? running.service.running.scale.cpu) * 1024) / 1000)),
      },
    });
  }

  async #oneOffs(app: string): Promise<EngineContainer[]> {
    return await this.#containers.list({ ...this.#labels(app), [ONE_OFF]: "yes" });
  }

  async stop(app: string, id: string): Promise<boolean> {
    const container = await this.#container(app, id);
    if (!container) return false;
    await this.#containers.stop(container);
    return true;
  }

  /** By Swarm's own counter for it, so the spec stays what the release says. */
  async restart(app: string, name: string): Promise<boolean> {
    const services = await this.#swarm.services(this.#labels(app));
    const found = services.find(({ Spec }) => Spec.Labels?.[SERVICE] === name);
    if (!found) return false;
    const { service, spec } = await this.#swarm.spec(found.ID);
    const template = check(Template, spec["TaskTemplate"], "the service");
    const TaskTemplate = { ...template, ForceUpdate: (template.ForceUpdate ?? 0) + 1 };
    await this.#swarm.update(service, { ...spec, TaskTemplate });
    return true;
  }

  async *logs(app: string, options: AppLogOptions): AsyncGenerator<string> {
    const services = await this.#swarm.services(this.#labels(app));
    const streams = services
      .map(({ ID, Spec }) => ({ id: ID, name: Spec.Labels?.[SERVICE] ?? "" }))
      .filter(({ name }) => options.service === undefined || name === options.service)
      .map(({ id, name }) => named(name, this.#swarm.serviceLog(id, options)));
    for await (const { process, line } of merged(streams))
      if (options.process === undefined || process === options.process) yield line;
  }

  async processes(app: string): Promise<Process[]> {
    const [tasks, others] = await Promise.all([this.#swarm.tasks(this.#labels(app)), this.#oneOffs(app)]);
    const running = tasks.filter(
      ({ DesiredState, Status }) => DesiredState === "running" || Status.State === "running",
    );
    return [...running.map(processOf), ...others.map(processOfOneOff)].sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}

function patience({ services }: RunningApp): number {
  const slowest = Math.max(0, ...services.map(({ service }) => service.running.health.grace));
  return PATIENCE + slowest * 1000;
}

function labelsOf({ Spec }: SwarmTask): Record<string, string> {
  return Spec.ContainerSpec?.Labels ?? {};
}

function isGlobal({ Spec }: SwarmService): boolean {
  return Spec.Mode?.Replicated === undefined;
}

/** What runs by the clock has done so, well or not. */
function hasRun({ before }: RunningService, { Status }: SwarmTask): boolean {
  return before !== undefined && ["complete", "failed"].includes(Status.State);
}

function isWell(running: RunningService, services: SwarmService[], tasks: SwarmTask[]): boolean {
  const { service } = running;
  const found = services.find(({ Spec }) => Spec.Labels?.[SERVICE] === service.name);
  const state = found?.UpdateStatus?.State;
  if (!found || (state !== undefined && state !== "completed")) return false;
  const count = service.running.agent ? 1 : service.running.scale.min;
  const well = tasks.filter(
    (task) =>
      labelsOf(task)[SERVICE] === service.name &&
      (hasRun(running, task) ||
        (task.Status.State === "running" &&
          task.DesiredState === "running" &&
          isSteady(service.running.health.disabled ? "" : service.port, task))),
  );
  return well.length >= count;
}

/** Swarm has met a task that does not get well, and replaces no more. */
function isPaused({ service }: RunningService, services: SwarmService[]): boolean {
  const found = services.find(({ Spec }) => Spec.Labels?.[SERVICE] === service.name);
  return found?.UpdateStatus?.State === "paused";
}

function oneOffId({ Id, Labels }: Pick<EngineContainer, "Id" | "Labels">): string {
  return processId(Labels[SERVICE] ?? "", Id);
}

function processOfOneOff(one: EngineContainer): Process {
  const { [APP]: app = "", [SERVICE]: service = "", [RELEASE]: release = "" } = one.Labels;
  const started = new Date(one.Created * 1000).toISOString();
  const status = one.State === "created" ? "pending" : one.State;
  return { id: oneOffId(one), app, service, release, status, command: one.Command ?? "", started };
}

/** Swarm's words of a line become ours: `TIME service/NAME/PROCESS TEXT`. */
async function* named(
  service: string,
  log: AsyncIterable<string>,
): AsyncGenerator<{ process: string; line: string }> {
  for await (const text of log) {
    const [, time = "", task = "", line = ""] =
      /^(\S+) \S*com\.docker\.swarm\.task\.id=(\w+)\S* ?(.*)$/s.exec(text) ?? [];
    const process = processId(service, task);
    if (time !== "") yield { process, line: `${time} service/${service}/${process} ${line}` };
  }
}

function processId(service: string, task: string): string {
  return `${service}-${task.slice(0, 12)}`;
}

/** In the original's words. */
function statusOf({ Status: { State } }: SwarmTask): string {
  if (["new", "pending", "assigned", "accepted", "preparing", "ready", "starting"].includes(State))
    return "pending";
  return State === "rejected" ? "failed" : State;
}

/** Without a health check a task is well that has not ended at once. */
function isSteady(port: string, { Status }: SwarmTask): boolean {
  return port !== "" || Date.now() - Date.parse(Status.Timestamp ?? "") > STEADY;
}

function processOf(task: SwarmTask): Process {
  const labels = labelsOf(task);
  const { [APP]: app = "", [SERVICE]: service = "", [RELEASE]: release = "" } = labels;
  return {
    ...{ id: processId(service, task.ID), app, service, release },
    ...{ status: statusOf(task), started: task.CreatedAt },
    command: (task.Spec.ContainerSpec?.Args ?? []).join(" "),
  };
}
