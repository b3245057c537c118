import type { ByteStream } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import { DavitError } from "../errors.ts";
import type { RackClient } from "./rack-client.ts";
import { commandHeaders, remoteAttach, type Speaker } from "./remote-attach.ts";
import {
  list,
  processOf,
  resourceOf,
  segment,
  serviceOf,
  WireProcess,
  WireResource,
  WireService,
} from "./remote-wire.ts";
import type {
  LogsWanted,
  Process,
  ResourceInfo,
  Running,
  RunWanted,
  Scaling,
  ServiceInfo,
} from "./running.ts";

/** How long a process may take to start, and between looks at it, in milliseconds. */
const PATIENCE = 5 * 60 * 1000;
const POLL = 1000;

/** What runs of a rack over HTTP. */
export class RemoteRunning implements Running {
  readonly #client: RackClient;
  readonly #isDavit: () => Promise<boolean>;

  /** `isDavit` says whether the rack is one of davit's. */
  constructor(client: RackClient, isDavit: () => Promise<boolean>) {
    this.#client = client;
    this.#isDavit = isDavit;
  }

  async #speaker(): Promise<Speaker> {
    return { client: this.#client, isDavit: await this.#isDavit() };
  }

  async services(app: string): Promise<ServiceInfo[]> {
    const path = `/apps/${segment(app)}/services`;
    return ((await this.#client.json(list(WireService), "GET", path)) ?? []).map(serviceOf);
  }

  async resources(app: string): Promise<ResourceInfo[]> {
    const path = `/apps/${segment(app)}/resources`;
    return ((await this.#client.json(list(WireResource), "GET", path)) ?? []).map(resourceOf);
  }

  async scale(app: string, service: string, { count, cpu, memory }: Scaling): Promise<void> {
    const field = (value: number | undefined) => (value === undefined ? undefined : String(value));
    const form = { count: field(count), cpu: field(cpu), memory: field(memory) };
    await this.#client.done("PUT", `/apps/${segment(app)}/services/${segment(service)}`, { form });
  }

  async processes(app: string): Promise<Process[]> {
    const path = `/apps/${segment(app)}/processes`;
    return ((await this.#client.json(list(WireProcess), "GET", path)) ?? []).map((one) =>
      processOf(one, app),
    );
  }

  logs(app: string, wanted: LogsWanted): ByteStream {
    const { service, process, follow, since, tail, filter, signal } = wanted;
    const place = service ? `/services/${segment(service)}` : process ? `/processes/${segment(process)}` : "";
    const headers = {
      prefix: "true",
      follow: String(follow),
      ...(since === undefined ? {} : { since: `${Math.ceil(since / 1000)}s` }),
      ...(tail === undefined ? {} : { tail: String(tail) }),
      ...(filter === undefined ? {} : { filter }),
    };
    return this.#client.socket(`/apps/${segment(app)}${place}/logs`, signal, headers);
  }

  async exec(app: string, id: string, command: readonly string[], to: Attachment): Promise<number> {
    return await remoteAttach(await this.#speaker(), `${processPath(app, id)}/exec`, command, to);
  }

  async runOnce(app: string, wanted: RunWanted, to: Attachment): Promise<number> {
    const speaker = await this.#speaker();
    if (!speaker.isDavit) return await this.#runAsOriginal(app, wanted, to);
    const path = `/apps/${segment(app)}/services/${segment(wanted.service)}/run`;
    return await remoteAttach(speaker, path, wanted.command, to, wantedHeaders(wanted));
  }

  /** The original has no socket for that: a process waits while the command runs beside it. */
  async #runAsOriginal(app: string, wanted: RunWanted, to: Attachment): Promise<number> {
    const id = await this.runDetached(app, { ...wanted, command: ["sleep", "3600"] });
    try {
      await this.#untilRunning(app, id, to.signal);
      const path = `${processPath(app, id)}/exec`;
      return await remoteAttach(await this.#speaker(), path, wanted.command, to, { entrypoint: "true" });
    } finally {
      await this.stop(app, id);
    }
  }

  async #untilRunning(app: string, id: string, signal: AbortSignal): Promise<void> {
    for (const end = performance.now() + PATIENCE; performance.now() < end; await Bun.sleep(POLL)) {
      const { status } = await this.#client.json(WireProcess, "GET", processPath(app, id), { signal });
      if (status === "running") return;
      if (status !== "pending") break;
    }
    throw new DavitError("rack", `process ${id} does not start`);
  }

  async runDetached(app: string, wanted: RunWanted): Promise<string> {
    const path = `/apps/${segment(app)}/services/${segment(wanted.service)}/processes`;
    const headers = { ...commandHeaders(wanted.command), ...wantedHeaders(wanted) };
    return (await this.#client.json(WireProcess, "POST", path, { headers })).id;
  }

  async stop(app: string, id: string): Promise<void> {
    await this.#client.done("DELETE", processPath(app, id));
  }

  async restart(app: string, service: string): Promise<void> {
    await this.#client.done("POST", `/apps/${segment(app)}/services/${segment(service)}/restart`);
  }
}

function processPath(app: string, id: string): string {
  return `/apps/${segment(app)}/processes/${segment(id)}`;
}

function wantedHeaders({ release, cpu, memory }: RunWanted): Record<string, string> {
  return {
    ...(release === undefined ? {} : { release }),
    ...(cpu === undefined ? {} : { cpu: String(cpu) }),
    ...(memory === undefined ? {} : { memory: String(memory) }),
  };
}
