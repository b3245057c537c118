import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { RackClient } from "./rack-client.ts";
import { list, processOf, segment, serviceOf, WireProcess, WireService } from "./remote-wire.ts";
import type { LogsWanted, Process, Running, Scaling, ServiceInfo } from "./running.ts";

/** What runs of a rack over HTTP. */
export class RemoteRunning implements Running {
  readonly #client: RackClient;

  constructor(client: RackClient) {
    this.#client = client;
  }

  async services(app: string): Promise<ServiceInfo[]> {
    const path = `/apps/${segment(app)}/services`;
    return ((await this.#client.json(list(WireService), "GET", path)) ?? []).map(serviceOf);
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

  async exec(): Promise<number> {
    throw this.#noTerminal();
  }

  async runOnce(): Promise<number> {
    throw this.#noTerminal();
  }

  async runDetached(): Promise<string> {
    throw this.#noTerminal();
  }

  #noTerminal(): DavitError {
    return new DavitError(
      "unsupported",
      `Cannot run commands in rack ${this.#client.address.name}: only on its own machine`,
    );
  }

  async stop(app: string, id: string): Promise<void> {
    await this.#client.done("DELETE", `/apps/${segment(app)}/processes/${segment(id)}`);
  }

  async restart(app: string, service: string): Promise<void> {
    await this.#client.done("POST", `/apps/${segment(app)}/services/${segment(service)}/restart`);
  }
}
