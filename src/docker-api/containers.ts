import type { ByteStream } from "../bytes.ts";
import { hasCode } from "../errors.ts";
import { type Static, Type } from "../schema.ts";
import { type Attachment, attached, type TerminalSize } from "./attached.ts";
import type { EngineClient } from "./client.ts";
import { upgrade } from "./upgrade.ts";

const Exit = Type.Object({ ExitCode: Type.Union([Type.Integer(), Type.Null()]) });
const Waited = Type.Object({ StatusCode: Type.Integer() });
const Created = Type.Object({ Id: Type.String() });
const Joined = Type.Object({
  NetworkSettings: Type.Object({ Networks: Type.Record(Type.String(), Type.Unknown()) }),
});

/** How often a terminal is told its size, and the time between, in milliseconds. */
const RESIZES = 20;
const RESIZE = 50;

const EngineContainer = Type.Object({
  Id: Type.String(),
  /** Each with a slash before it. */
  Names: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
  /** Its own, and those of its image. */
  Labels: Type.Record(Type.String(), Type.String()),
  State: Type.String(),
  Command: Type.Optional(Type.String()),
  /** Seconds since 1970. */
  Created: Type.Integer(),
});
export type EngineContainer = Static<typeof EngineContainer>;

/** The container endpoints of the Engine API. */
export class EngineContainers {
  readonly #client: EngineClient;

  constructor(client: EngineClient) {
    this.#client = client;
  }

  /** Those that have all these labels, and have not ended; or those that have, too. */
  async list(labels: Readonly<Record<string, string>>, { ended = false } = {}): Promise<EngineContainer[]> {
    const label = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
    const status = ended ? {} : { status: ["created", "running", "paused"] };
    const query = { all: "1", filters: JSON.stringify({ label, ...status }) };
    return await this.#client.json(Type.Array(EngineContainer), "GET", "/containers/json", { query });
  }

  async create(config: object, name?: string): Promise<string> {
    const request = { json: config, ...(name === undefined ? {} : { query: { name } }) };
    return (await this.#client.json(Created, "POST", "/containers/create", request)).Id;
  }

  /** The names of the networks it is in, or will be when it starts. */
  async networks(id: string): Promise<string[]> {
    const { NetworkSettings } = await this.#client.json(Joined, "GET", `/containers/${id}/json`);
    return Object.keys(NetworkSettings.Networks);
  }

  /** Brings a container into a network, whether it runs or not; it stays there over restarts. */
  async join(id: string, network: string): Promise<void> {
    await this.#client.call("POST", `/networks/${network}/connect`, { json: { Container: id } });
  }

  async leave(id: string, network: string): Promise<void> {
    const json = { Container: id, Force: true };
    await this.#client.call("POST", `/networks/${network}/disconnect`, { json });
  }

  async rename(id: string, name: string): Promise<void> {
    await this.#client.call("POST", `/containers/${id}/rename`, { query: { name } });
  }

  /** Unpacks a tar in a container, which need not run. */
  async put(id: string, path: string, archive: ByteStream): Promise<void> {
    const headers = { "content-type": "application/x-tar" };
    await this.#client.call("PUT", `/containers/${id}/archive`, { query: { path }, body: archive, headers });
  }

  /** Runs a command in a container that runs; returns its exit code. */
  async exec(id: string, command: readonly string[], to: Attachment): Promise<number> {
    const Tty = to.terminal !== undefined;
    const json = {
      AttachStdin: to.stdin !== undefined,
      AttachStdout: true,
      AttachStderr: true,
      Tty,
      Cmd: command,
    };
    const { Id } = await this.#client.json(Created, "POST", `/containers/${id}/exec`, { json });
    await this.#attach(`/exec/${Id}/start`, { Detach: false, Tty }, `/exec/${Id}/resize`, to);
    return (await this.#client.json(Exit, "GET", `/exec/${Id}/json`)).ExitCode ?? 0;
  }

  /** Runs a container from its start to its end; returns its exit code. */
  async run(id: string, to: Attachment): Promise<number> {
    const query = "stream=1&stdout=1&stderr=1&stdin=1";
    const joined = this.#attach(
      `/containers/${id}/attach?${query}`,
      undefined,
      `/containers/${id}/resize`,
      to,
      () => this.#client.call("POST", `/containers/${id}/start`),
    );
    await joined;
    return (await this.#client.json(Waited, "POST", `/containers/${id}/wait`)).StatusCode;
  }

  async start(id: string): Promise<void> {
    await this.#client.call("POST", `/containers/${id}/start`);
  }

  async #attach(
    path: string,
    json: object | undefined,
    resize: string,
    to: Attachment,
    then: () => Promise<unknown> = async () => undefined,
  ): Promise<void> {
    const version = await this.#client.version();
    const upgraded = await upgrade(this.#client.host, `/v${version}${path}`, {
      to: "tcp",
      json,
      doing: "attach",
    });
    const joined = attached(upgraded, to);
    joined.catch(() => undefined);
    await then();
    const resizing = this.#resize(resize, to).catch(() => undefined);
    await joined;
    void resizing;
  }

  async #resize(path: string, { terminal }: Attachment): Promise<void> {
    if (!terminal) return;
    const tell = async ({ columns, rows }: TerminalSize, tries = 1): Promise<void> => {
      const query = { w: String(columns), h: String(rows) };
      const told = await this.#client.call("POST", path, { query }).catch(() => undefined);
      // What has only just begun has no terminal yet.
      if (told || tries === RESIZES) return;
      await Bun.sleep(RESIZE);
      await tell({ columns, rows }, tries + 1);
    };
    await tell(terminal.size);
    for await (const size of terminal.resizes) await tell(size);
  }

  /** Ends what runs in a container, as its service would: first asked, then killed. */
  async stop(id: string): Promise<void> {
    await this.#client.call("POST", `/containers/${id}/stop`);
  }

  async remove(id: string): Promise<void> {
    await this.#client
      .call("DELETE", `/containers/${id}`, { query: { force: "1" } })
      .catch((error: unknown) => {
        if (!hasCode(error, "not-found")) throw error;
      });
  }
}
