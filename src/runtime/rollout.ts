import type { EngineImages } from "../docker-api/images.ts";
import type { EngineSwarm, SwarmService, SwarmTask } from "../docker-api/swarm.ts";
import { DavitError, hasCode } from "../errors.ts";
import { insideService } from "./inside/service.ts";
import type { ApplyEvents, RunningApp, RunningService } from "./runtime.ts";
import { APP, type Place, RACK, RELEASE, SERVICE, SPEC, serviceSpec } from "./service-spec.ts";
import { sick } from "./sick.ts";
import { labelsOf, processOf, serviceOf } from "./tasks.ts";

/** Between looks at tasks, in milliseconds. */
const POLL = 500;
/** How long services may take to get well, beside what their health checks want, in milliseconds. */
const PATIENCE = 5 * 60 * 1000;
/** How long a service without a health check has to run, in milliseconds. */
const STEADY = 5000;
/** How long processes of the release before are waited for, in milliseconds. */
const FAREWELL = 3000;
/** Lines of a failing task that are told. */
const LAST_LINES = 10;
/** Times a service is read and written again, where another has changed it in between. */
const TRIES = 5;

/** Brings an app's services to a release, and watches until they are well. */
export class Rollout {
  readonly #swarm: EngineSwarm;
  readonly #images: EngineImages;
  readonly #app: RunningApp;
  readonly #place: Place;
  /** Tasks that had ended before: what became of them says nothing about now. */
  readonly #past = new Set<string>();
  /** What tasks of each service are to be made as, by its name. */
  readonly #wanted = new Map<string, string | undefined>();

  constructor(engine: { swarm: EngineSwarm; images: EngineImages }, app: RunningApp, place: Place) {
    this.#swarm = engine.swarm;
    this.#images = engine.images;
    this.#app = app;
    this.#place = place;
  }

  async run(events: ApplyEvents, signal: AbortSignal): Promise<void> {
    const { inside } = this.#app;
    const services = [...(inside ? [insideService(inside)] : []), ...this.#app.services];
    const before = await this.#services();
    for (const task of await this.#swarm.tasks(this.#labels))
      if (task.DesiredState !== "running") this.#past.add(task.ID);
    // What others need comes first, and is not touched where it is as it should be.
    for (const lasting of [true, false]) {
      const some = services.filter((service) => (service.lasting ?? false) === lasting);
      await Promise.all(some.map((service) => this.#put(service, named(before, service), events)));
      await this.#untilWell(some, events, signal);
    }
    const wanted = new Set(services.map(({ service }) => service.name));
    for (const { ID, Spec } of before)
      if (!wanted.has(Spec.Labels?.[SERVICE] ?? "")) {
        await events.beforeChange?.();
        await this.#swarm.remove(ID);
      }
    await this.#untilOthersEnd();
  }

  get #labels(): Record<string, string> {
    return { [RACK]: this.#place.rack, [APP]: this.#app.app };
  }

  async #services(): Promise<SwarmService[]> {
    return await this.#swarm.services(this.#labels);
  }

  async #put(service: RunningService, before: SwarmService | undefined, events: ApplyEvents): Promise<void> {
    const spec = serviceSpec(this.#place, this.#app, await this.#withEntrypoint(service));
    this.#wanted.set(service.service.name, spec.TaskTemplate.ContainerSpec.Labels[SPEC]);
    let known = before;
    await events.beforeChange?.();
    // Swarm does not turn one on each node into so many, nor back.
    if (known && isGlobal(known) !== service.service.running.agent) {
      await this.#swarm.remove(known.ID);
      known = undefined;
    }
    for (let tries = 1; ; tries++) {
      await events.beforeChange?.();
      if (!known) return void (await this.#swarm.create(spec, service.login));
      try {
        // Swarm renames none: one that an earlier davit has named keeps its name.
        return await this.#swarm.update(known, { ...spec, Name: known.Spec.Name }, service.login);
      } catch (error) {
        if (!hasCode(error, "outdated") || tries === TRIES) throw error;
        known = named(await this.#services(), service);
      }
    }
  }

  /** What stands before a command stands before the image's entrypoint, too. */
  async #withEntrypoint(running: RunningService): Promise<RunningService> {
    if (!running.before) return running;
    if (this.#place.inside === undefined)
      throw new DavitError("unsupported", `there is no ${running.service.name} for this processor`);
    if (running.service.entrypoint !== "") return running;
    const { Config } = await this.#images.inspect(running.image);
    return { ...running, before: [...running.before, ...(Config?.Entrypoint ?? [])] };
  }

  /** Every service has all its tasks of this release, and Swarm has nothing left to replace. */
  async #untilWell(some: RunningService[], { onState }: ApplyEvents, signal: AbortSignal): Promise<void> {
    const seen = new Map<string, string>();
    for (const end = performance.now() + patience(this.#app); ; await Bun.sleep(POLL)) {
      signal.throwIfAborted();
      const [services, all] = await Promise.all([this.#services(), this.#swarm.tasks(this.#labels)]);
      const tasks = all.filter((task) => this.#isOfNow(task));
      for (const task of tasks) {
        if (seen.get(task.ID) === task.Status.State) continue;
        seen.set(task.ID, task.Status.State);
        onState?.(processOf(task));
      }
      const late = performance.now() > end;
      const waiting = some.filter((service) => !isWell(service, named(services, service), tasks));
      if (waiting.length === 0) return;
      for (const service of waiting) {
        const mine = tasks.filter((task) => isOf(service, task) && !hasRun(service, task));
        const isPaused = named(services, service)?.UpdateStatus?.State === "paused";
        const why = sick(mine, isPaused) ?? (late ? "it did not get well in time" : undefined);
        if (why !== undefined) throw await this.#unwell(service.service.name, why, mine);
      }
    }
  }

  /** Whoever asks next should meet this release; but what takes its time to end is not waited for. */
  async #untilOthersEnd(): Promise<void> {
    for (const end = performance.now() + FAREWELL; performance.now() < end; await Bun.sleep(POLL)) {
      const tasks = await this.#swarm.tasks(this.#labels);
      if (!tasks.some((task) => !this.#isOfNow(task) && task.Status.State === "running")) return;
    }
  }

  /** Of this release or of what lasts, and as it is to be now: a release may run already, and otherwise. */
  #isOfNow(task: SwarmTask): boolean {
    const { [RELEASE]: release = "", [SPEC]: spec } = labelsOf(task);
    if (this.#past.has(task.ID) || spec !== this.#wanted.get(serviceOf(task))) return false;
    return release === "" || release === this.#app.release;
  }

  async #unwell(service: string, why: string, tasks: SwarmTask[]): Promise<DavitError> {
    const [last] = tasks
      .filter(({ Status }) => Status.ContainerStatus?.ContainerID)
      .sort((a, b) => b.CreatedAt.localeCompare(a.CreatedAt));
    const lines = last ? await this.#swarm.lastLines(last.ID, LAST_LINES).catch(() => []) : [];
    const said = lines.map((line) => `\n  ${line}`).join("");
    const more = said === "" ? "" : `; its last lines:${said}`;
    return new DavitError("conflict", `service ${service}: ${why}${more}`);
  }
}

function patience({ services, patience: given }: RunningApp): number {
  const slowest = Math.max(0, ...services.map(({ service }) => service.running.health.grace));
  return given ?? PATIENCE + slowest * 1000;
}

function named(services: readonly SwarmService[], { service }: RunningService): SwarmService | undefined {
  return services.find(({ Spec }) => Spec.Labels?.[SERVICE] === service.name);
}

function isOf({ service }: RunningService, task: SwarmTask): boolean {
  return serviceOf(task) === service.name;
}

function isGlobal({ Spec }: SwarmService): boolean {
  return Spec.Mode?.Replicated === undefined;
}

/** What runs by the clock has done so, well or not. */
function hasRun({ before }: RunningService, { Status }: SwarmTask): boolean {
  return before !== undefined && ["complete", "failed"].includes(Status.State);
}

function isWell(
  running: RunningService,
  found: SwarmService | undefined,
  tasks: readonly SwarmTask[],
): boolean {
  const state = found?.UpdateStatus?.State;
  if (!found || (state !== undefined && state !== "completed")) return false;
  const mine = tasks.filter((task) => isOf(running, task));
  const well = mine.filter((task) => hasRun(running, task) || isRunning(running, task));
  const { agent, scale } = running.service.running;
  // One on each node that Swarm wants one on.
  const wanted = agent ? mine.filter(({ DesiredState }) => DesiredState === "running").length : scale.min;
  return well.length >= (agent ? Math.max(1, wanted) : wanted);
}

/** Without a health check a task is well that has not ended at once. */
function isRunning({ service }: RunningService, { Status, DesiredState }: SwarmTask): boolean {
  if (Status.State !== "running" || DesiredState !== "running") return false;
  const isAsked = service.port !== "" && !service.running.health.disabled;
  return isAsked || Date.now() - Date.parse(Status.Timestamp ?? "") > STEADY;
}
