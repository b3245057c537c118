import { type Bytes, encode, streamOf } from "../bytes.ts";
import type { EngineContainer, EngineContainers } from "../docker-api/containers.ts";
import type { EngineSwarm } from "../docker-api/swarm.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { writeTar } from "../tar/write.ts";
import { logBounds } from "./bounds.ts";
import { ADMIN, isUpstreamName, type Route, type RouterOptions, routerConfig } from "./router-config.ts";
import type { RefusedApp } from "./runtime.ts";
import { serviceName } from "./service-name.ts";
import { APP, RACK, SERVICE } from "./service-spec.ts";

export interface RouterSettings extends RouterOptions {
  /** A stock Caddy. */
  image: string;
  /** The node's port for HTTP. */
  http: number;
}

/** What the router's container is known by, beside the rack's label. */
const ROUTER = "davit.router";
/** What it was made as. */
const MARK = "davit.router.spec";
/** Where its first configuration lies in it. */
const FIRST_CONFIG = "davit-router.json";
/** How often it is told: its socket is there a moment after it runs. */
const TRIES = 40;
/** Between tries, in milliseconds. */
const POLL = 250;
/** How long a service's tasks may take to end, and between looks at them, in milliseconds. */
const FAREWELL = 30_000;
const LOOK = 50;

/**
 * The way in: one Caddy on this node, in each app's own network, which is no other's. It is a
 * container and no service: those lose a network that they join later with each new task,
 * and one that they are made for costs them a restart. What it is to do goes in through its own
 * admin socket, so no request is lost to a restart; what it did last it keeps on a volume.
 */
export class SwarmRouter {
  readonly #swarm: EngineSwarm;
  readonly #containers: EngineContainers;
  readonly #pull: (image: string) => Promise<void>;
  readonly #rack: { id: string; name: string };

  /** `pull` gets an image that the engine lacks. */
  constructor(
    swarm: EngineSwarm,
    containers: EngineContainers,
    pull: (image: string) => Promise<void>,
    rack: { id: string; name: string },
  ) {
    this.#swarm = swarm;
    this.#containers = containers;
    this.#pull = pull;
    this.#rack = rack;
  }

  get #labels(): Record<string, string> {
    return { [RACK]: this.#rack.id, [ROUTER]: "yes" };
  }

  get #name(): string {
    return serviceName(this.#rack.name, "router");
  }

  /** Until it takes the place of the one before. */
  get #next(): string {
    return `${this.#name}_next`;
  }

  /**
   * Its containers. Labels alone do not tell them: containers also have those of their image, which
   * are anybody's to choose. Names are not: what runs for apps is called by Swarm and by the engine.
   */
  async #own(more: { ended?: boolean } = {}): Promise<EngineContainer[]> {
    const names = [this.#name, this.#next].map((name) => `/${name}`);
    const found = await this.#containers.list(this.#labels, more);
    return found.filter(({ Names }) => (Names ?? []).some((name) => names.includes(name)));
  }

  /** Brings it into an app's network, where it runs: before that app's processes start, so that it finds them at once. */
  async join(network: string): Promise<void> {
    // A task of Swarm's must not: it would get an address that Swarm gives to others, too.
    for (const { Id, State, Labels } of await this.#own())
      if (State === "running" && Labels[MARK] !== undefined) await this.#joinAll(Id, [network]);
  }

  /** The network can be removed then. */
  async leave(network: string): Promise<void> {
    for (const { Id } of await this.#own({ ended: true }))
      if ((await this.#containers.networks(Id)).includes(network)) await this.#containers.leave(Id, network);
  }

  /** Starts it where it does not run, and tells it all routes. Returns the apps whose routes it does not take. */
  async tell(routes: readonly Route[], settings: RouterSettings): Promise<RefusedApp[]> {
    const old = await this.oldApps();
    const apps = new Set(routes.map(({ app }) => app));
    const own = [...apps].map((app) => serviceName(this.#rack.name, app));
    const container = await this.#put(settings, [...own, ...(old.size > 0 ? [this.#name] : [])]);
    const known = routes.map((route) => ({
      ...route,
      old: old.get(route.app)?.has(route.service.name) ?? false,
    }));
    const refused = await this.#reload(container, known, settings);
    if (old.size === 0) await this.#forgetShared();
    return refused;
  }

  /** Whether an earlier davit started the router, as a service. */
  async isService(): Promise<boolean> {
    return (await this.#swarm.services(this.#labels)).length > 0;
  }

  /** Services that an earlier davit has put into a network of all apps, by app. */
  async oldApps(): Promise<Map<string, Set<string>>> {
    const shared = (await this.#swarm.networks(this.#labels)).get(this.#name);
    const found = new Map<string, Set<string>>();
    if (shared === undefined) return found;
    for (const { Spec } of await this.#swarm.services({ [RACK]: this.#rack.id })) {
      const { [APP]: app, [SERVICE]: service } = Spec.Labels ?? {};
      if (!app || !service || !Spec.TaskTemplate?.Networks?.some(({ Target }) => Target === shared)) continue;
      found.set(app, (found.get(app) ?? new Set()).add(service));
    }
    return found;
  }

  /** Apps with services of which none has a name that the router looks for. */
  async appsToMove(): Promise<string[]> {
    const found = new Map<string, boolean>();
    for (const { Spec } of await this.#swarm.services({ [RACK]: this.#rack.id })) {
      const { [APP]: app } = Spec.Labels ?? {};
      const aliases = Spec.TaskTemplate?.Networks?.flatMap(({ Aliases = [] }) => Aliases) ?? [];
      if (app) found.set(app, (found.get(app) ?? false) || aliases.some(isUpstreamName));
    }
    return [...found].filter(([, isKnown]) => !isKnown).map(([app]) => app);
  }

  async #forgetShared(): Promise<void> {
    if (!(await this.#swarm.networks(this.#labels)).has(this.#name)) return;
    await this.leave(this.#name);
    // Tasks that are on their way out hold it for a moment; then the next that tells does it.
    await this.#swarm.removeNetwork(this.#name).catch(() => undefined);
  }

  /** Makes the router's container as it should be, and returns its id. One that is so already is left alone: a change would restart it. */
  async #put(settings: RouterSettings, networks: readonly string[]): Promise<string> {
    const spec = await this.#spec(settings);
    const mark = new Bun.CryptoHasher("sha256").update(JSON.stringify(spec)).digest("hex").slice(0, 16);
    const all = await this.#own({ ended: true });
    const known = all.find(({ Labels }) => Labels[MARK] === mark);
    const id =
      known?.Id ?? (await this.#create({ ...spec, Labels: { ...this.#labels, [MARK]: mark } }, settings));
    const others = all.filter(({ Id }) => Id !== id);
    if (known?.State !== "running") await this.#takeOver(id, others);
    // Only now: it starts sooner without them, and requests wait until it is in its app's network.
    await this.#joinAll(id, networks);
    return id;
  }

  async #create(spec: object, { image }: RouterSettings): Promise<string> {
    await this.#pull(image);
    const id = await this.#containers.create(spec, this.#next);
    const bytes = encode(JSON.stringify({ admin: { listen: ADMIN } }));
    const file = { name: FIRST_CONFIG, type: "file" as const, mode: 0o444, size: bytes.byteLength };
    await this.#containers.put(id, "/", writeTar([{ ...file, body: () => streamOf(bytes) }]));
    return id;
  }

  async #joinAll(id: string, networks: readonly string[]): Promise<void> {
    const joined = await this.#containers.networks(id);
    for (const network of networks.filter((name) => !joined.includes(name)))
      await this.#containers.join(id, network).catch((error: unknown) => {
        // Another davit may have been quicker; an app that goes has no network any more.
        if (!/already exists in network/.test(reasonOf(error)) && !hasCode(error, "not-found")) throw error;
      });
  }

  /** Starts a container in place of those before, which listen on the same ports and so are stopped first. Where it does not start, they are started again. */
  async #takeOver(id: string, before: readonly EngineContainer[]): Promise<void> {
    await this.#removeServices();
    for (const { Id } of before) await this.#containers.stop(Id).catch(() => undefined);
    try {
      await this.#containers.start(id);
    } catch (cause) {
      await this.#containers.remove(id);
      for (const { Id } of before) await this.#containers.start(Id).catch(() => undefined);
      throw new DavitError("engine", `Cannot start the router: ${reasonOf(cause)}`, {
        cause,
        hint: "see whether its ports are free, and `davit rack params`",
      });
    }
    for (const { Id } of before) await this.#containers.remove(Id);
    await this.#containers.rename(id, this.#name).catch(() => undefined);
  }

  /** As an earlier davit has started it. Its port is free once its tasks have ended, which nobody says. */
  async #removeServices(): Promise<void> {
    for (const { ID } of await this.#swarm.services(this.#labels)) {
      await this.#swarm.remove(ID);
      const tasks = { "com.docker.swarm.service.id": ID };
      for (const end = performance.now() + FAREWELL; performance.now() < end; await Bun.sleep(LOOK))
        if ((await this.#containers.list(tasks)).length === 0) break;
    }
  }

  /** What it knew stays on its volumes. */
  async remove(): Promise<void> {
    await this.#removeServices();
    for (const { Id } of await this.#own({ ended: true })) await this.#containers.remove(Id);
  }

  /** All routes; where Caddy refuses them, those of each app that it takes by themselves. */
  async #reload(
    container: string,
    routes: readonly Route[],
    settings: RouterSettings,
  ): Promise<RefusedApp[]> {
    const problem = await this.#caddy(container, "reload", routes, settings);
    if (problem === undefined) return [];
    const refused: RefusedApp[] = [];
    for (const app of new Set(routes.map((route) => route.app))) {
      const own = routes.filter((route) => route.app === app);
      const why = await this.#caddy(container, "validate", own, settings);
      if (why !== undefined) refused.push({ app, problem: why });
    }
    const rest = routes.filter((route) => !refused.some(({ app }) => app === route.app));
    const left = refused.length === 0 ? problem : await this.#caddy(container, "reload", rest, settings);
    if (left !== undefined) throw new DavitError("engine", `Cannot tell the router its routes: ${left}`);
    return refused;
  }

  /** Runs `caddy` in the container. Returns what was wrong. Tries again while the admin socket is not there yet. */
  async #caddy(
    container: string,
    verb: "reload" | "validate",
    routes: readonly Route[],
    settings: RouterSettings,
  ): Promise<string | undefined> {
    const config = encode(JSON.stringify(routerConfig(routes, settings)));
    const command = ["caddy", verb, "--config", "-", ...(verb === "reload" ? ["--address", ADMIN] : [])];
    for (let tries = 1; ; tries++) {
      const problem = await this.#exec(container, command, config);
      if (problem === undefined || tries === TRIES || !/dial unix|not running/.test(problem)) return problem;
      await Bun.sleep(POLL);
    }
  }

  async #exec(container: string, command: readonly string[], input: Bytes): Promise<string | undefined> {
    const decoder = new TextDecoder();
    let said = "";
    const to = {
      stdin: streamOf(input),
      write: async (_: unknown, bytes: Bytes) => {
        said += decoder.decode(bytes);
      },
      signal: new AbortController().signal,
    };
    const code = await this.#containers.exec(container, command, to).catch((error: unknown) => {
      said = reasonOf(error);
    });
    return code === 0 ? undefined : (said.trim().split("\n").at(-1) ?? "");
  }

  async #spec({ image, http, https, tls }: RouterSettings): Promise<object> {
    const logs = logBounds((await this.#swarm.info()).logDriver);
    const ports = { "80/tcp": http, ...(tls === "off" ? {} : { "443/tcp": https }) };
    const bound = Object.entries(ports).map(([port, on]) => [port, [{ HostPort: String(on) }]]);
    const volume = serviceName(this.#rack.id, "router");
    return {
      Image: image,
      Entrypoint: ["caddy"],
      Cmd: ["run", "--resume", "--config", `/${FIRST_CONFIG}`],
      Env: ["XDG_CONFIG_HOME=/config", "XDG_DATA_HOME=/data"],
      ExposedPorts: Object.fromEntries(Object.keys(ports).map((port) => [port, {}])),
      HostConfig: {
        // With its own setting of this, the engine asks no other name server for names without dots.
        ...{ DnsOptions: ["ndots:1"], DnsSearch: ["."] },
        Mounts: ["config", "data"].map((name) => ({
          ...{ Type: "volume", Source: `${volume}_${name}`, Target: `/${name}` },
        })),
        PortBindings: Object.fromEntries(bound),
        RestartPolicy: { Name: "always" },
        // It stands in all apps' networks: nothing may go through it that it does not carry itself.
        Sysctls: { "net.ipv4.ip_forward": "0" },
        ...(logs ? { LogConfig: { Type: logs.driver, Config: logs.options } } : {}),
      },
    };
  }
}
