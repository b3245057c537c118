import type { Engine, EngineWish } from "../build/engine.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ReadStore } from "../oci/store.ts";
import { Once } from "../once.ts";
import { bodyOf } from "../response-body.ts";
import { Type } from "../schema.ts";
import type { EmbeddedRack } from "./embedded.ts";
import { Event } from "./event-ledger.ts";
import type { Env } from "./home.ts";
import type { MoveOptions } from "./mover.ts";
import {
  type App,
  type AppUpdate,
  type Build,
  type BuildEvents,
  type BuildOptions,
  type BuildSource,
  type Bundle,
  type ExportOptions,
  FormerApp,
  type ImageRelay,
  type ImportOptions,
  type NewRelease,
  type Rack,
  type Release,
  type System,
  TokenInfo,
  type TokenRequest,
} from "./rack.ts";
import { type RackAddress, RackClient } from "./rack-client.ts";
import { remoteLog, runRemoteBuild } from "./remote-build.ts";
import type { RemoteParts } from "./remote-content.ts";
import { RemoteRunning } from "./remote-running.ts";
import {
  appOf,
  buildOf,
  list,
  releaseOf,
  segment,
  systemOf,
  WireApp,
  WireBuild,
  WireRelease,
  WireSystem,
} from "./remote-wire.ts";
import type { Running } from "./running.ts";
import { RegistryLogin } from "./settings.ts";

export interface RemoteOptions {
  env: Env;
  /** Where davit keeps what it learns. */
  state: string;
  /** A rack on this machine: for what a Convox rack cannot take as it is, and for what is remembered of layers. */
  local(): Promise<EmbeddedRack>;
  /** For builds that run here. */
  engine(wish: EngineWish): Promise<Engine>;
}

/** A rack over HTTP: another davit, or a Convox rack. */
export class RemoteRack implements Rack {
  readonly name: string;
  readonly #client: RackClient;
  readonly running: Running;
  readonly #options: RemoteOptions;
  readonly #davit = new Once<boolean>();

  constructor(address: RackAddress, options: RemoteOptions) {
    this.name = address.name;
    this.#client = new RackClient(address);
    this.running = new RemoteRunning(this.#client, () => this.#isDavit());
    this.#options = options;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  get #parts(): RemoteParts {
    return { client: this.#client, env: this.#options.env, state: this.#options.state };
  }

  /** Whether content can go through `/v2`: only another davit says so. */
  #isDavit(): Promise<boolean> {
    return this.#davit.get(async () => (await this.system()).outputs["davit"] !== undefined);
  }

  async system(): Promise<System> {
    return systemOf(await this.#client.json(WireSystem, "GET", "/system"), this.name);
  }

  async apps(): Promise<App[]> {
    return ((await this.#client.json(list(WireApp), "GET", "/apps")) ?? []).map(appOf);
  }

  async app(name: string): Promise<App> {
    return appOf(await this.#client.json(WireApp, "GET", `/apps/${segment(name)}`));
  }

  async createApp(name: string, generation?: string, former?: string): Promise<App> {
    const form = { name, generation, "data-of": former };
    return appOf(await this.#client.json(WireApp, "POST", "/apps", { form }));
  }

  async formerApps(): Promise<FormerApp[]> {
    if (!(await this.#isDavit())) return [];
    return await this.#client.json(Type.Array(FormerApp), "GET", "/system/apps/deleted");
  }

  async deleteApp(name: string): Promise<void> {
    await this.#client.done("DELETE", `/apps/${segment(name)}`);
  }

  async updateApp(name: string, { locked, parameters }: AppUpdate): Promise<void> {
    const form = {
      lock: locked === undefined ? undefined : String(locked),
      parameters: parameters && new URLSearchParams(parameters).toString(),
    };
    await this.#client.done("PUT", `/apps/${segment(name)}`, { form });
  }

  async builds(app: string, limit?: number): Promise<Build[]> {
    const query = { limit: limit === undefined ? undefined : String(limit) };
    const found = await this.#client.json(list(WireBuild), "GET", `/apps/${segment(app)}/builds`, { query });
    return (found ?? []).map((build) => buildOf(build, app));
  }

  async build(app: string, id: string): Promise<Build> {
    return buildOf(await this.#client.json(WireBuild, "GET", this.#buildPath(app, id)), app);
  }

  #buildPath(app: string, id: string): string {
    return `/apps/${segment(app)}/builds/${segment(id)}`;
  }

  async deleteBuild(app: string, id: string): Promise<void> {
    await this.#client.done("DELETE", this.#buildPath(app, id));
  }

  async buildLog(app: string, id: string): Promise<ByteStream> {
    await this.build(app, id);
    return remoteLog(this.#client, app, id);
  }

  async runBuild(
    app: string,
    options: BuildOptions,
    events: BuildEvents,
    signal: AbortSignal,
  ): Promise<Build> {
    if (!options.external)
      return await runRemoteBuild(
        { ...this.#parts, app, isDavit: await this.#isDavit(), events, signal },
        options,
      );
    const { runExternalBuild } = await import("./remote-external.ts");
    return await runExternalBuild(
      { ...this.#parts, ...this.#options, isDavit: await this.#isDavit() },
      app,
      options,
      events,
      signal,
    );
  }

  async exportBuilds(app: string, ids: readonly string[], options: ExportOptions = {}): Promise<Bundle> {
    const builds: Build[] = [];
    for (const id of ids) builds.push(await this.build(app, id));
    if (!(await this.#isDavit())) return await this.#convoxArchive(app, builds, options);
    const { exportRemote } = await import("./remote-content.ts");
    const since = options.since === undefined ? undefined : await this.build(app, options.since);
    return await exportRemote(this.#parts, app, builds, { ...options, since });
  }

  /** A Convox rack writes its own format, and only that. */
  async #convoxArchive(app: string, builds: Build[], options: ExportOptions): Promise<Bundle> {
    const [build, another] = builds;
    if (!build || another || options.since !== undefined || options.have !== undefined)
      throw new DavitError(
        "unsupported",
        `Cannot export so from ${this.name}: a Convox rack exports one whole build`,
      );
    const response = await this.#client.call("GET", `${this.#buildPath(app, build.id)}.tgz`);
    return { size: undefined, omitted: 0, stream: bodyOf(response, `build ${build.id}`) };
  }

  async readBuild<T>(app: string, id: string, work: (source: BuildSource) => Promise<T>): Promise<T> {
    const build = await this.build(app, id);
    if (!(await this.#isDavit())) throw this.#noContent("read");
    const { readRemote } = await import("./remote-content.ts");
    return await readRemote(this.#parts, app, build, work);
  }

  async importFrom(app: string, source: ReadStore, root: Descriptor, options: ImportOptions): Promise<Build> {
    if (!(await this.#isDavit())) throw this.#noContent("copy into");
    const { copyRemote } = await import("./remote-content.ts");
    return await copyRemote(this.#parts, app, source, root, options);
  }

  #noContent(what: string): DavitError {
    return new DavitError(
      "unsupported",
      `Cannot ${what} rack ${this.name}: a Convox rack takes archives only`,
      {
        hint: "use `davit builds export … | davit builds import …`",
      },
    );
  }

  async blobs(app: string): Promise<string[]> {
    if (!(await this.#isDavit())) return [];
    return await this.#client.json(Type.Array(Type.String()), "GET", `/apps/${segment(app)}/blobs`);
  }

  async importBuilds(app: string, archive: ByteStream, options: ImportOptions): Promise<Build[]> {
    await this.app(app);
    if (!(await this.#isDavit())) return await this.#importConvox(app, archive, options);
    const { importRemote } = await import("./remote-content.ts");
    return await importRemote(this.#parts, app, archive, options);
  }

  /** A Convox rack reads its own format only: a rack of ours makes that of whatever comes. */
  async #importConvox(app: string, archive: ByteStream, options: ImportOptions): Promise<Build[]> {
    options.onWarning?.(`rack ${this.name} takes Convox's archives only: staging in the local rack`);
    await using local = await this.#options.local();
    const stage = `staged-${crypto.randomUUID().slice(0, 8)}`;
    await local.createApp(stage);
    try {
      const made: Build[] = [];
      for (const { id } of await local.importBuilds(stage, archive, options)) {
        const { stream } = await local.exportBuilds(stage, [id], { format: "convox" });
        const path = `/apps/${segment(app)}/builds/import`;
        const sent = { stream: () => stream, signal: options.signal };
        made.push(buildOf(await this.#client.json(WireBuild, "POST", path, sent), app));
      }
      return made;
    } finally {
      await local.deleteApp(stage).catch((error: unknown) => {
        options.onWarning?.(`app ${stage} stays in the local rack: ${reasonOf(error)}`);
      });
    }
  }

  async cancel(app: string): Promise<void> {
    await this.#client.done("POST", `/apps/${segment(app)}/cancel`);
  }

  async releases(app: string, limit?: number): Promise<Release[]> {
    const query = { limit: limit === undefined ? undefined : String(limit) };
    const found = await this.#client.json(list(WireRelease), "GET", `/apps/${segment(app)}/releases`, {
      query,
    });
    return (found ?? []).map((release) => releaseOf(release, app));
  }

  async release(app: string, id: string): Promise<Release> {
    const path = `/apps/${segment(app)}/releases/${segment(id)}`;
    return releaseOf(await this.#client.json(WireRelease, "GET", path), app);
  }

  async createRelease(app: string, { build, description, env, parent }: NewRelease): Promise<Release> {
    const form = { build, description, env, "parent-release": parent };
    const path = `/apps/${segment(app)}/releases`;
    return releaseOf(await this.#client.json(WireRelease, "POST", path, { form }), app);
  }

  async promote(app: string, id: string): Promise<void> {
    const path = `/apps/${segment(app)}/releases/${segment(id)}/promote`;
    await this.#client.done("POST", path, { form: { force: "false" } });
  }

  async registries(): Promise<RegistryLogin[]> {
    const found = await this.#client.json(
      Type.Union([Type.Array(RegistryLogin), Type.Null()]),
      "GET",
      "/registries",
    );
    return found ?? [];
  }

  async addRegistry({ server, username, password, apps }: RegistryLogin): Promise<void> {
    if (apps && !(await this.#isDavit()))
      throw new DavitError(
        "unsupported",
        `Cannot limit a login of ${this.name}: a Convox rack gives all to every app`,
      );
    const form = { server, username, password, apps: apps?.join(",") };
    await this.#client.done("POST", "/registries", { form });
  }

  async removeRegistry(server: string): Promise<void> {
    await this.#client.done("DELETE", `/registries/${server}`);
  }

  /** A davit moves its content by itself, whether or not anybody waits. */
  async settle({ signal, onProgress }: MoveOptions): Promise<void> {
    for (let total: number | undefined; ; ) {
      const { moving } = (await this.system()).outputs;
      if (!moving) return;
      const left = Number(moving.split(" ")[1]);
      total ??= left;
      onProgress?.({ what: "Moving", done: Math.max(0, total - left), total });
      await Bun.sleep(LOOK);
      signal?.throwIfAborted();
    }
  }

  async setParams(changes: Record<string, string>): Promise<void> {
    const form = { parameters: new URLSearchParams(changes).toString() };
    await this.#client.done("PUT", "/system", { form });
  }

  async createToken({ role, hours, apps, name }: TokenRequest): Promise<string> {
    const form = { role, durationInHour: String(hours), apps: apps?.join(","), name };
    return (await this.#client.json(Token, "POST", "/system/jwt/token", { form })).token;
  }

  async tokens(): Promise<TokenInfo[]> {
    await this.#requireTokens();
    return await this.#client.json(Type.Array(TokenInfo), "GET", "/system/jwt/tokens");
  }

  async revokeToken(id: string): Promise<void> {
    await this.#requireTokens();
    await this.#client.done("DELETE", `/system/jwt/tokens/${segment(id)}`);
  }

  async revokeOlderTokens(): Promise<void> {
    await this.#requireTokens();
    await this.#client.done("DELETE", "/system/jwt/older-tokens");
  }

  async #requireTokens(): Promise<void> {
    if (await this.#isDavit()) return;
    throw new DavitError("unsupported", `Cannot manage tokens of ${this.name}: a Convox rack lists none`);
  }

  async relayImage(app: string, relay: ImageRelay): Promise<Build> {
    const { relayRemote } = await import("./remote-relay.ts");
    return await relayRemote(this.#client, app, relay);
  }

  async events(limit?: number): Promise<Event[]> {
    const query = { limit: limit === undefined ? undefined : String(limit) };
    return await this.#client.json(Type.Array(Event), "GET", "/events", { query });
  }
}

/** Between looks at how far a move has come, in milliseconds. */
const LOOK = 500;
const Token = Type.Object({ token: Type.String() });
