import type { Attachment } from "../docker-api/attached.ts";
import type { EngineContainer, EngineContainers } from "../docker-api/containers.ts";
import { DavitError } from "../errors.ts";
import { shellWords } from "../shell-words.ts";
import { logBounds, MOST_PROCESSES } from "./bounds.ts";
import type { OneOff, Process, RunningApp } from "./runtime.ts";
import { APP, ONE_OFF, RELEASE, SERVICE } from "./service-spec.ts";
import { processId } from "./tasks.ts";

/** Commands that run once, on this node: containers of an app's network that Swarm knows nothing of. */
export class OneOffs {
  readonly #containers: EngineContainers;

  constructor(containers: EngineContainers) {
    this.#containers = containers;
  }

  async list(labels: Readonly<Record<string, string>>): Promise<{ process: Process; container: string }[]> {
    const found = await this.#containers.list({ ...labels, [ONE_OFF]: "yes" });
    return found.map((one) => ({ process: processOf(one), container: one.Id }));
  }

  async run(app: RunningApp, one: OneOff, place: OneOffPlace, to: Attachment): Promise<number> {
    const id = await this.#create(app, one, place, to);
    try {
      return await this.#containers.run(id, to);
    } finally {
      await this.#containers.remove(id);
    }
  }

  /** Returns the process's id. */
  async runDetached(app: RunningApp, one: OneOff, place: OneOffPlace): Promise<string> {
    const id = await this.#create(app, one, place);
    await this.#containers.start(id);
    return processId(one.service, id);
  }

  async #create(
    app: RunningApp,
    { service, command, ...more }: OneOff,
    { labels, network, logDriver }: OneOffPlace,
    to?: Attachment,
  ): Promise<string> {
    const running = app.services.find((each) => each.service.name === service);
    if (!running) throw new DavitError("not-found", `no such service: ${service}`);
    const { entrypoint } = running.service;
    const logs = logBounds(logDriver);
    const { init, scale } = running.service.running;
    return await this.#containers.create({
      Image: running.image,
      ...(entrypoint === "" ? {} : { Entrypoint: shellWords(entrypoint) }),
      Cmd: command,
      Env: Object.entries(running.env).map(([name, value]) => `${name}=${value}`),
      Labels: { ...labels, [SERVICE]: service, [RELEASE]: app.release, [ONE_OFF]: "yes" },
      ...(to ? { OpenStdin: true, StdinOnce: true, AttachStdin: true, Tty: to.terminal !== undefined } : {}),
      HostConfig: {
        Init: init,
        NetworkMode: network,
        PidsLimit: MOST_PROCESSES,
        ...(logs ? { LogConfig: { Type: logs.driver, Config: logs.options } } : {}),
        AutoRemove: to === undefined,
        Memory: (more.memory || scale.memory) * 1024 * 1024,
        // Of 1024 for each processor, when others want it too.
        CpuShares: Math.max(2, Math.round(((more.cpu ?? scale.cpu) * 1024) / 1000)),
      },
    });
  }
}

export interface OneOffPlace {
  labels: Readonly<Record<string, string>>;
  /** The id of the app's network. */
  network: string;
  /** Where logs of the engine go. */
  logDriver: string;
}

function processOf({ Id, Labels, Created, State, Command = "" }: EngineContainer): Process {
  const { [APP]: app = "", [SERVICE]: service = "", [RELEASE]: release = "" } = Labels;
  const started = new Date(Created * 1000).toISOString();
  const status = State === "created" ? "pending" : State;
  return { id: processId(service, Id), app, service, release, status, command: Command, started };
}
