import { type Bytes, encode, streamOf } from "../bytes.ts";
import type { EngineContainers } from "../docker-api/containers.ts";
import type { EngineSwarm } from "../docker-api/swarm.ts";
import { DavitError } from "../errors.ts";
import { ADMIN, type Route, type RouterOptions, routerConfig } from "./router-config.ts";
import { RACK, serviceName } from "./service-spec.ts";

/** A service as Swarm is told of it. */
interface Spec {
  Labels: Record<string, string>;
  [field: string]: unknown;
}

export interface RouterSettings extends RouterOptions {
  /** A stock Caddy. */
  image: string;
  /** The node's port for HTTP. */
  http: number;
}

/** What the router's service is known by, beside the rack's label. */
const ROUTER = "davit.router";
/** What it was made as. */
const MARK = "davit.router.spec";
/** Where its first configuration lies in it. */
const FIRST_CONFIG = "/etc/davit-router.json";
/** How often it is told: its socket is there a moment after it runs. */
const TRIES = 20;
/** Between looks at the router while it starts, in milliseconds, and how often. */
const POLL = 250;
const LOOKS = 240;

/**
 * The way in: one Caddy on this node, whose service never changes. What it is to do goes in
 * through its own admin socket, so no request is lost to a restart; what it did last it
 * keeps on a volume.
 */
export class SwarmRouter {
  readonly #swarm: EngineSwarm;
  readonly #containers: EngineContainers;
  readonly #rack: { id: string; name: string };

  constructor(swarm: EngineSwarm, containers: EngineContainers, rack: { id: string; name: string }) {
    this.#swarm = swarm;
    this.#containers = containers;
    this.#rack = rack;
  }

  /** The id of the network that routed services share with it. */
  async network(): Promise<string> {
    return await this.#swarm.network(serviceName(this.#rack.name, "router"), this.#labels);
  }

  get #labels(): Record<string, string> {
    return { [RACK]: this.#rack.id, [ROUTER]: "yes" };
  }

  /** Starts it where it does not run, and tells it all routes. */
  async tell(routes: readonly Route[], settings: RouterSettings): Promise<void> {
    await this.#put(await this.#spec(settings));
    const config = encode(JSON.stringify(routerConfig(routes, settings)));
    for (let tries = 1; ; tries++) {
      const problem = await this.#reload(await this.#container(), config);
      if (problem === undefined) return;
      if (tries === TRIES) throw new DavitError("engine", `Cannot tell the router its routes: ${problem}`);
      await Bun.sleep(POLL);
    }
  }

  /** It is left alone where it is as it should be: a change would start it anew. */
  async #put(spec: Spec): Promise<void> {
    const [known] = await this.#swarm.services(this.#labels);
    const mark = new Bun.CryptoHasher("sha256").update(JSON.stringify(spec)).digest("hex").slice(0, 16);
    const marked = { ...spec, Labels: { ...spec.Labels, [MARK]: mark } };
    if (!known) await this.#swarm.create(marked);
    else if (known.Spec.Labels?.[MARK] !== mark) await this.#swarm.update(known, marked);
  }

  /** What it knew stays on its volumes. */
  async remove(): Promise<void> {
    for (const { ID } of await this.#swarm.services(this.#labels)) await this.#swarm.remove(ID);
  }

  /** By the program that it is; says what was wrong. */
  async #reload(container: string, config: Bytes): Promise<string | undefined> {
    const decoder = new TextDecoder();
    let said = "";
    const code = await this.#containers.exec(
      container,
      ["caddy", "reload", "--config", "-", "--address", ADMIN],
      {
        stdin: streamOf(config),
        write: async (_, bytes) => {
          said += decoder.decode(bytes);
        },
        signal: new AbortController().signal,
      },
    );
    return code === 0 ? undefined : (said.trim().split("\n").at(-1) ?? "");
  }

  /** Of its task, once that runs and has its socket. */
  async #container(): Promise<string> {
    for (let look = 0; look < LOOKS; look++, await Bun.sleep(POLL)) {
      const tasks = await this.#swarm.tasks(this.#labels);
      const running = tasks.find(({ Status }) => Status.State === "running")?.Status.ContainerStatus
        ?.ContainerID;
      if (running) return running;
      const refused = tasks.find(({ Status }) => Status.State === "rejected")?.Status.Err;
      if (refused)
        throw new DavitError("engine", `Cannot start the router: ${refused}`, {
          hint: "see whether its ports are free, and RouterImage one that this engine has or can pull",
        });
    }
    throw new DavitError("engine", "Cannot start the router: it does not run after a minute", {
      hint: "see whether its ports are free, and `davit rack params`",
    });
  }

  /** Until it is told more, it only listens to us. */
  async #firstConfig(): Promise<{ ConfigID: string; ConfigName: string }> {
    const ConfigName = serviceName(this.#rack.name, "router");
    const text = JSON.stringify({ admin: { listen: ADMIN } });
    return { ConfigName, ConfigID: await this.#swarm.config(ConfigName, text, this.#labels) };
  }

  async #spec({ image, http, https, tls }: RouterSettings): Promise<Spec> {
    const port = (TargetPort: number, PublishedPort: number): object => ({
      ...{ Protocol: "tcp", TargetPort, PublishedPort, PublishMode: "host" },
    });
    const volume = serviceName(this.#rack.id, "router");
    const [network, first] = [await this.network(), await this.#firstConfig()];
    const { node } = await this.#swarm.info();
    return {
      Name: serviceName(this.#rack.name, "router"),
      Labels: this.#labels,
      TaskTemplate: {
        ContainerSpec: {
          Image: image,
          Command: ["caddy", "run", "--resume", "--config", FIRST_CONFIG],
          Env: ["XDG_CONFIG_HOME=/config", "XDG_DATA_HOME=/data"],
          Labels: this.#labels,
          Configs: [{ ...first, File: { Name: FIRST_CONFIG, UID: "0", GID: "0", Mode: 0o444 } }],
          Mounts: ["config", "data"].map((name) => ({
            ...{ Type: "volume", Source: `${volume}_${name}`, Target: `/${name}` },
          })),
        },
        RestartPolicy: { Condition: "any", Delay: 1_000_000_000 },
        Networks: [{ Target: network }],
        // Its orders come from davit, and its ports are this node's.
        Placement: { Constraints: [`node.id==${node}`] },
      },
      UpdateConfig: { Order: "stop-first" },
      Mode: { Replicated: { Replicas: 1 } },
      EndpointSpec: {
        Mode: "dnsrr",
        Ports: [port(80, http), ...(tls === "off" ? [] : [port(443, https)])],
      },
    };
  }
}
