import type { ByteStream } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import type { EngineClient } from "../docker-api/client.ts";
import { EngineContainers } from "../docker-api/containers.ts";
import { EngineImages, type RegistryAuth } from "../docker-api/images.ts";
import { EngineSwarm, type SwarmTask } from "../docker-api/swarm.ts";
import { DavitError } from "../errors.ts";
import { isDigest } from "../oci/digest.ts";
import { fullName, parseReference } from "../oci/reference.ts";
import { check, Type } from "../schema.ts";
import { appLog } from "./app-log.ts";
import { INSIDE_SERVICE } from "./inside/service.ts";
import { insideVolume, insideVolumeName } from "./inside/volume.ts";
import { type OneOffPlace, OneOffs } from "./one-offs.ts";
import { Rollout } from "./rollout.ts";
import type { Route } from "./router-config.ts";
import type {
  AppLogOptions,
  ApplyEvents,
  OneOff,
  Process,
  RefusedApp,
  RunningApp,
  Runtime,
} from "./runtime.ts";
import { serviceName } from "./service-name.ts";
import { APP, type Place, RACK, SERVICE } from "./service-spec.ts";
import { type RouterSettings, SwarmRouter } from "./swarm-router.ts";
import { processOf, serviceOf } from "./tasks.ts";

/** Between looks at tasks that are to end, and how long they may take, in milliseconds. */
const POLL = 500;
const PATIENCE = 5 * 60 * 1000;

/** A node's label that says where its engine listens. */
const ENDPOINT = "davit.endpoint";

const Template = Type.Object({ ForceUpdate: Type.Optional(Type.Integer()) });

/** Releases as services of Docker Swarm. What lacks the rack's label is not touched. */
export class SwarmRuntime implements Runtime {
  readonly #swarm: EngineSwarm;
  readonly #containers: EngineContainers;
  readonly #images: EngineImages;
  readonly #oneOffs: OneOffs;
  readonly #router: SwarmRouter;
  readonly #rack: { id: string; name: string };
  readonly #engineAt: (host: string) => Promise<EngineClient>;

  /** `engineAt` opens the engines of other nodes. */
  constructor(
    client: EngineClient,
    rack: { id: string; name: string },
    engineAt: (host: string) => Promise<EngineClient>,
  ) {
    this.#swarm = new EngineSwarm(client);
    this.#containers = new EngineContainers(client);
    this.#images = new EngineImages(client);
    this.#oneOffs = new OneOffs(this.#containers);
    this.#router = new SwarmRouter(
      this.#swarm,
      this.#containers,
      async (image) => {
        if (!(await this.findImage(image))) await this.pullImage(image, undefined);
      },
      rack,
    );
    this.#rack = rack;
    this.#engineAt = engineAt;
  }

  #labels(app: string): Record<string, string> {
    return { [RACK]: this.#rack.id, [APP]: app };
  }

  #network(app: string): string {
    return serviceName(this.#rack.name, app);
  }

  async apply(app: RunningApp, events: ApplyEvents, signal: AbortSignal): Promise<void> {
    const engine = { swarm: this.#swarm, images: this.#images };
    await new Rollout(engine, app, await this.#place(app)).run(events, signal);
  }

  async #place(running: RunningApp): Promise<Place> {
    const { app, routed } = running;
    const network = await this.#swarm.network(this.#network(app), this.#labels(app));
    if (routed) await this.#router.join(this.#network(app));
    const [{ node, logDriver }, inside] = [await this.#swarm.info(), await this.#inside(running)];
    return { rack: this.#rack.id, name: this.#rack.name, node, network, logDriver, inside };
  }

  /** On this node alone davit fills it itself: no registry need serve for that. */
  async #inside({ inside, services: [first] }: RunningApp): Promise<string | undefined> {
    const { id } = this.#rack;
    if (inside) return insideVolumeName(id);
    return first && (await insideVolume(this.#containers, await this.architecture(), id, first.image));
  }

  async countNodes(): Promise<number> {
    return (await this.#swarm.nodes()).size;
  }

  async architecture(): Promise<string> {
    const { architecture: name } = await this.#swarm.info();
    return { x86_64: "amd64", aarch64: "arm64" }[name] ?? name;
  }

  async findImage(name: string): Promise<string | undefined> {
    // Engines find images by the beginnings of their ids, too, but never by a name in full.
    return (await this.#images.find(isDigest(name) ? name : fullName(parseReference(name))))?.Id;
  }

  async pullImage(name: string, login: RegistryAuth | undefined): Promise<void> {
    const { host, repository, tag, digest } = parseReference(name);
    for await (const _ of this.#images.pull(`${host}/${repository}`, digest ?? tag ?? "", login));
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

  async route(routes: readonly Route[], settings: RouterSettings | undefined): Promise<RefusedApp[]> {
    if (settings) return await this.#router.tell(routes, settings);
    await this.#router.remove();
    return [];
  }

  async hasOldRouter(): Promise<boolean> {
    return await this.#router.isService();
  }

  async appsToMove(): Promise<string[]> {
    return await this.#router.appsToMove();
  }

  async remove(app: string, signal: AbortSignal): Promise<void> {
    const services = await this.#swarm.services(this.#labels(app));
    signal.throwIfAborted();
    await Promise.all(services.map(({ ID }) => this.#swarm.remove(ID)));
    await this.#untilGone(app, signal);
    await this.#router.leave(this.#network(app)).catch(() => undefined);
    await this.#swarm.removeNetwork(this.#network(app)).catch(() => undefined);
  }

  /** Tasks end after their service is gone, and hold its network until then. */
  async #untilGone(app: string, signal: AbortSignal): Promise<void> {
    for (const end = performance.now() + PATIENCE; performance.now() < end; await Bun.sleep(POLL)) {
      signal.throwIfAborted();
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
    const found = await this.#find(app, id);
    return found && (await found.containers.exec(found.container, command, to));
  }

  /** A process's container, and the engine that has it. */
  async #find(
    app: string,
    id: string,
  ): Promise<{ containers: EngineContainers; container: string } | undefined> {
    const tasks = await this.#swarm.tasks(this.#labels(app));
    const task = tasks.find((one) => processOf(one).id === id);
    const container = task?.Status.ContainerStatus?.ContainerID;
    if (task && container) return { containers: await this.#containersOf(task, id), container };
    const oneOffs = await this.#oneOffs.list(this.#labels(app));
    const own = oneOffs.find(({ process }) => process.id === id);
    return own && { containers: this.#containers, container: own.container };
  }

  /** Swarm carries no commands to other nodes: their engines are asked, where somebody has said how. */
  async #containersOf({ NodeID = "" }: SwarmTask, id: string): Promise<EngineContainers> {
    if (NodeID === (await this.#swarm.info()).node) return this.#containers;
    const node = (await this.#swarm.nodes()).get(NodeID);
    const endpoint = node?.labels[ENDPOINT];
    if (endpoint) return new EngineContainers(await this.#engineAt(endpoint));
    const name = node?.hostname ?? NodeID;
    throw new DavitError("unsupported", `Cannot reach process ${id}: it is on node ${name}`, {
      hint: `say where its engine is: docker node update --label-add ${ENDPOINT}=tcp://HOST:PORT ${name}`,
    });
  }

  async run(app: RunningApp, one: OneOff, to: Attachment): Promise<number> {
    return await this.#oneOffs.run(app, one, await this.#oneOffPlace(app, one), to);
  }

  async runDetached(app: RunningApp, one: OneOff): Promise<string> {
    return await this.#oneOffs.runDetached(app, one, await this.#oneOffPlace(app, one));
  }

  async #oneOffPlace({ app, services }: RunningApp, { service: name }: OneOff): Promise<OneOffPlace> {
    const running = services.find(({ service }) => service.name === name);
    if (running && !(await this.findImage(running.image))) await this.pullImage(running.image, running.login);
    const labels = this.#labels(app);
    const { logDriver } = await this.#swarm.info();
    return { labels, logDriver, network: await this.#swarm.network(this.#network(app), labels) };
  }

  async stop(app: string, id: string): Promise<boolean> {
    const found = await this.#find(app, id);
    await found?.containers.stop(found.container);
    return found !== undefined;
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

  logs(app: string, options: AppLogOptions): AsyncIterable<string> {
    return appLog(this.#swarm, this.#labels(app), options);
  }

  async processes(app: string): Promise<Process[]> {
    const labels = this.#labels(app);
    const [tasks, others] = await Promise.all([this.#swarm.tasks(labels), this.#oneOffs.list(labels)]);
    const running = tasks.filter(
      (task) =>
        (task.DesiredState === "running" || task.Status.State === "running") &&
        serviceOf(task) !== INSIDE_SERVICE,
    );
    const all = [...running.map(processOf), ...others.map(({ process }) => process)];
    return all.sort((a, b) => (a.id < b.id ? -1 : 1));
  }
}
