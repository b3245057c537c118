import { type Bytes, encode } from "../bytes.ts";
import type { Attachment } from "../docker-api/attached.ts";
import { DavitError } from "../errors.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import type { App } from "./rack.ts";
import type {
  LogsWanted,
  Process,
  ResourceInfo,
  Running,
  RunWanted,
  Scaling,
  ServiceInfo,
} from "./running.ts";

/** What runs of an embedded rack: what its runtime says. Without a runtime nothing does. */
export class EmbeddedRunning implements Running {
  readonly #parts: EmbeddedParts;

  constructor(parts: EmbeddedParts) {
    this.#parts = parts;
  }

  /** Throws where there is no such app. */
  async #app(name: string): Promise<App> {
    return await this.#parts.ledger.apps.find(name);
  }

  async services(app: string): Promise<ServiceInfo[]> {
    await this.#app(app);
    const { servicesOf } = await import("./services.ts");
    return await servicesOf(this.#parts, app);
  }

  async resources(app: string): Promise<ResourceInfo[]> {
    const processes = await this.processes(app);
    const { resourcesOf } = await import("./services.ts");
    return await resourcesOf(this.#parts, app, processes);
  }

  async scale(app: string, service: string, change: Scaling): Promise<void> {
    const { scaleService } = await import("./services.ts");
    await scaleService(this.#parts, app, service, change).finally(() => this.#parts.upkeep.run());
  }

  async processes(app: string): Promise<Process[]> {
    await this.#app(app);
    return (await (await this.#parts.runtime())?.processes(app)) ?? [];
  }

  async *logs(app: string, { since, filter = "", ...wanted }: LogsWanted): AsyncGenerator<Bytes> {
    await this.#app(app);
    const from = since === undefined ? {} : { since: new Date(this.#parts.now().getTime() - since) };
    const runtime = await this.#parts.runtime();
    for await (const line of runtime?.logs(app, { ...wanted, ...from }) ?? [])
      if (line.includes(filter)) yield encode(`${line}\n`);
  }

  async exec(app: string, id: string, command: readonly string[], to: Attachment): Promise<number> {
    await this.#app(app);
    const code = await (await this.#parts.runtime())?.exec(app, id, command, to);
    if (code === undefined) throw noProcess(app, id);
    return code;
  }

  async runOnce(app: string, wanted: RunWanted, to: Attachment): Promise<number> {
    const { runtime, running } = await this.#toRun(app, wanted);
    return await runtime.run(running, wanted, to);
  }

  async runDetached(app: string, wanted: RunWanted): Promise<string> {
    const { runtime, running } = await this.#toRun(app, wanted);
    return await runtime.runDetached(running, wanted);
  }

  async #toRun(app: string, { release }: RunWanted) {
    const active = release ?? (await this.#app(app)).release;
    if (active === "") throw new DavitError("conflict", `app ${app} has no active release`);
    const { releaseToRun } = await import("./promoting.ts");
    return await releaseToRun(this.#parts, app, active);
  }

  async stop(app: string, id: string): Promise<void> {
    await this.#app(app);
    if (!(await (await this.#parts.runtime())?.stop(app, id))) throw noProcess(app, id);
  }

  async restart(app: string, service: string): Promise<void> {
    await this.#app(app);
    if (!(await (await this.#parts.runtime())?.restart(app, service)))
      throw new DavitError("not-found", `no such service: ${service}`, {
        hint: `see \`davit services -a ${app}\``,
      });
  }
}

function noProcess(app: string, id: string): DavitError {
  return new DavitError("not-found", `no such process: ${id}`, { hint: `see \`davit ps -a ${app}\`` });
}
