import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { ReadStore } from "../oci/store.ts";
import { afterChange } from "./after-change.ts";
import { backup } from "./backup.ts";
import type { QueueLimits } from "./build-queue.ts";
import { runEmbeddedBuild } from "./embedded-build.ts";
import { exportEmbedded, imagesOf, readEmbedded, stepsOf } from "./embedded-export.ts";
import { commitStaged, copyEmbedded, importEmbedded, type Staged } from "./embedded-import.ts";
import { type EmbeddedOptions, type EmbeddedParts, openParts } from "./embedded-parts.ts";
import { EmbeddedRunning } from "./embedded-running.ts";
import type { Event } from "./event-ledger.ts";
import { followLog } from "./follow-log.ts";
import { Home, LOCAL, noRack } from "./home.ts";
import { checkName, newId } from "./ids.ts";
import { MOVING, type MoveOptions, moveContent } from "./mover.ts";
import { routerDomain } from "./params.ts";
import type { Promoting } from "./promoting.ts";
import { pullsOf } from "./pull-login.ts";
import type {
  App,
  AppUpdate,
  Build,
  BuildEvents,
  BuildOptions,
  BuildSource,
  Bundle,
  ExportOptions,
  FormerApp,
  ImageRelay,
  ImportOptions,
  NewRelease,
  PromoteOptions,
  Rack,
  Release,
  System,
  TokenInfo,
  TokenRequest,
} from "./rack.ts";
import { Registry } from "./registry.ts";
import { buildOf } from "./rows.ts";
import type { Running } from "./running.ts";
import { ServedRack } from "./served-rack.ts";
import type { RegistryLogin, Settings } from "./settings.ts";
import { changeParams, describeRack } from "./system.ts";
import { TokenDesk } from "./token-desk.ts";

const GENERATION = "3";
const DEFAULT_LIMIT = 10;

/** A rack in a directory: no server, and any number of davit processes side by side. */
export class EmbeddedRack implements Rack {
  readonly name: string;
  readonly #parts: EmbeddedParts;
  readonly running: Running;
  /** For the server's own use, as `settings`. */
  readonly tokenDesk: TokenDesk;

  private constructor(parts: EmbeddedParts) {
    this.name = parts.name;
    this.#parts = parts;
    this.tokenDesk = new TokenDesk(parts);
    this.running = new EmbeddedRunning(parts);
  }

  /** Opens a rack that is there; `local` is made on first use, others by `create`. */
  static async open(name: string, options: EmbeddedOptions): Promise<EmbeddedRack> {
    const home = new Home(options.env);
    if (name !== LOCAL && !home.hasRack(name) && !options.env["DAVIT_DATABASE_URL"]) throw noRack(name);
    return new EmbeddedRack(await openParts(home, checkName("rack", name), options));
  }

  static async create(name: string, options: EmbeddedOptions): Promise<EmbeddedRack> {
    const home = new Home(options.env);
    const checked = checkName("rack", name);
    if (home.hasRack(checked)) throw new DavitError("exists", `rack already exists: ${name}`);
    return new EmbeddedRack(await openParts(home, checked, options));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#parts.ledger.close();
  }

  async system(): Promise<System> {
    return await describeRack(this.#parts);
  }

  async setParams(changes: Record<string, string>): Promise<void> {
    await this.#change(() => changeParams(this.#parts, changes));
  }

  async settle(options: MoveOptions): Promise<void> {
    if (await this.#parts.ledger.known(MOVING)) await this.#change(() => moveContent(this.#parts, options));
  }

  async registries(): Promise<RegistryLogin[]> {
    return await this.#parts.settings.registries();
  }

  async addRegistry(login: RegistryLogin): Promise<void> {
    await this.#parts.settings.addRegistry(login);
  }

  async removeRegistry(server: string): Promise<void> {
    await this.#parts.settings.removeRegistry(server);
  }

  async events(limit = DEFAULT_LIMIT): Promise<Event[]> {
    return await this.#parts.ledger.events.list(limit);
  }

  /** The last step of an import over the network. */
  async commitStaged(app: string, staged: readonly Staged[], options: ImportOptions): Promise<Build[]> {
    return await this.#change(() => commitStaged(this.#parts, app, staged, options), app);
  }

  async createToken(wanted: TokenRequest): Promise<string> {
    return await this.tokenDesk.issue(wanted);
  }

  async tokens(): Promise<TokenInfo[]> {
    return await this.tokenDesk.list();
  }

  async revokeToken(id: string): Promise<void> {
    await this.tokenDesk.revoke(id);
  }

  async revokeOlderTokens(): Promise<void> {
    await this.tokenDesk.revokeOlder();
  }

  async relayImage(app: string, relay: ImageRelay): Promise<Build> {
    const { relayEmbedded } = await import("./external-build.ts");
    return await this.#change(async () => {
      const id = await relayEmbedded(this.#parts, app, relay);
      const { description } = await this.build(app, id);
      relay.onStep?.("Creating release");
      const release = await this.#parts.releases.create(app, { build: id, description });
      await this.#parts.ledger.builds.setRelease(app, id, release.id);
      return await this.build(app, id);
    }, app);
  }

  /** The blobs that hold a layer, here or elsewhere. */
  async layers(diffId: Digest): Promise<Descriptor[]> {
    return await this.#parts.ledger.content.layers(diffId);
  }

  async rememberLayer(diffId: Digest, layer: Descriptor): Promise<void> {
    await this.#parts.ledger.content.rememberLayer(diffId, layer);
  }

  /** The whole rack but its key, as one archive. */
  backup(): ByteStream {
    return backup(this.#parts, this.#parts.seal.id);
  }

  /** Seals its secrets with another key; returns that key's id. */
  async rekey(key?: string): Promise<string> {
    if (await this.#parts.ledger.leaders.isLed("sweeper"))
      throw new DavitError("conflict", "Cannot change the rack's key: a server of it is running", {
        hint: "stop every `davit rack start` of this rack first",
      });
    const { rekey } = await import("./rekey.ts");
    return await rekey(this.#parts, key);
  }

  /** What the rack does for clients of its server. */
  served(limits: QueueLimits): ServedRack {
    return new ServedRack(this.#parts, limits);
  }

  /** For the server's own use: configs, and secrets that sign. */
  get settings(): Settings {
    return this.#parts.settings;
  }

  /** Whether servers on other machines may serve it too. */
  get isShared(): boolean {
    return this.#parts.ledger.db.shared;
  }

  /** The password of all its servers; whoever makes it is told. */
  async sharedPassword(onMade: (password: string) => void): Promise<string> {
    const password = await this.#parts.settings.secret("password");
    const me = crypto.randomUUID();
    if ((await this.#parts.ledger.fact("password-shown", () => me)) === me) onMade(password);
    return password;
  }

  /** Whether a tag is a finished build's. */
  async isSealedTag(app: string, tag: string): Promise<boolean> {
    return await this.#parts.ledger.builds.isSealedTag(app, tag);
  }

  async note(event: Omit<Event, "at">): Promise<void> {
    await this.#parts.ledger.events.add(event);
  }

  /** Notes an event of work that is done: a failure to note it is a warning. */
  async noteDone(event: Omit<Event, "at">): Promise<void> {
    await this.#parts.after.attempt("the log of events lacks what was done", () => this.note(event));
  }

  /** The rack's content as a registry's repositories, one for each app. */
  registry(): Registry {
    const { ledger, collector } = this.#parts;
    const changed = async (): Promise<void> => undefined;
    return new Registry({ ledger, collector, createsRepositories: false, sparse: true, changed });
  }

  /** The app whose images a node's login may pull; undefined where it is no such login. */
  async pullsOf(login: { user: string; password: string }): Promise<string | undefined> {
    return await pullsOf(this.#parts, login);
  }

  async apps(): Promise<App[]> {
    const router = await routerDomain(this.#parts);
    const left = await this.#parts.ledger.promotions.abandoned();
    return (await this.#parts.ledger.apps.list()).map((app) => ({
      ...(left.some((one) => one.app === app.name) ? inBetween(app) : app),
      router,
    }));
  }

  async app(name: string): Promise<App> {
    const { ledger } = this.#parts;
    const found = { ...(await ledger.apps.find(name)), router: await routerDomain(this.#parts) };
    const [left] = await ledger.promotions.abandoned(name);
    const failed = await ledger.appFacts.known(name, "unpromoted");
    if (left) {
      const { stopped } = await import("./promoting.ts");
      return { ...inBetween(found), problem: failed ?? stopped(left) };
    }
    const untold = found.release === "" ? "" : (await ledger.duties.find("routes"))?.problem;
    const problem = failed ?? (untold || (await ledger.appFacts.known(name, "unrouted")));
    return problem === undefined ? found : { ...found, problem };
  }

  /** What tells the app from others that had its name before, or will have it. */
  async idOf(app: string): Promise<string> {
    return await this.#parts.ledger.apps.id(app);
  }

  async createApp(name: string, generation = GENERATION, former?: string): Promise<App> {
    const { apps } = this.#parts.ledger;
    const id = newId("A", this.#parts.random);
    return await this.#smallChange(async () => {
      await apps.create(checkName("app", name), generation, id, former);
      return await apps.find(name);
    });
  }

  async formerApps(): Promise<FormerApp[]> {
    return await this.#parts.ledger.apps.former();
  }

  async deleteApp(name: string): Promise<void> {
    const { deleteApp } = await import("./deleting.ts");
    await this.#change(() => deleteApp(this.#parts, name));
  }

  async updateApp(name: string, update: AppUpdate): Promise<void> {
    await this.#smallChange(() => this.#parts.ledger.apps.update(name, update), name);
  }

  async builds(app: string, limit = DEFAULT_LIMIT): Promise<Build[]> {
    return (await this.#parts.ledger.builds.list(app, limit)).map(buildOf);
  }

  async build(app: string, id: string): Promise<Build> {
    const row = await this.#parts.ledger.builds.find(app, id);
    const [images, steps] = await Promise.all([imagesOf(this.#parts, row), stepsOf(this.#parts, row)]);
    return {
      ...buildOf(row),
      ...(steps ? { steps } : {}),
      images: Object.fromEntries([...images].map(([name, image]) => [name, image.digest])),
    };
  }

  async deleteBuild(app: string, id: string): Promise<void> {
    await this.#change(async () => {
      await this.#parts.ledger.builds.failAbandoned();
      await this.#parts.ledger.builds.remove(app, id);
    }, app);
  }

  async buildLog(app: string, id: string): Promise<ByteStream> {
    await this.#parts.ledger.builds.find(app, id);
    return followLog(this.#parts, app, id);
  }

  async runBuild(
    app: string,
    options: BuildOptions,
    events: BuildEvents,
    signal: AbortSignal,
  ): Promise<Build> {
    return await this.#change(() => runEmbeddedBuild(this.#parts, app, options, events, signal), app);
  }

  async importBuilds(app: string, archive: ByteStream, options: ImportOptions): Promise<Build[]> {
    return await this.#change(() => importEmbedded(this.#parts, app, archive, options), app);
  }

  /** Does work that owes nothing. Where a server runs, it does by itself what others have left. */
  async #smallChange<T>(work: () => Promise<T>, app?: string): Promise<T> {
    return this.#parts.upkeep.hasServer ? await work() : await this.#change(work, app);
  }

  /** Does work that changes the rack, or `app`; then, also after a failure, what commits owe. */
  async #change<T>(work: () => Promise<T>, app?: string): Promise<T> {
    try {
      return await work();
    } finally {
      await afterChange(this.#parts, app);
    }
  }

  async exportBuilds(app: string, ids: readonly string[], options: ExportOptions = {}): Promise<Bundle> {
    return await exportEmbedded(this.#parts, app, ids, options);
  }

  async readBuild<T>(app: string, id: string, work: (source: BuildSource) => Promise<T>): Promise<T> {
    return await readEmbedded(this.#parts, app, id, work);
  }

  async importFrom(app: string, source: ReadStore, root: Descriptor, options: ImportOptions): Promise<Build> {
    return await this.#change(() => copyEmbedded(this.#parts, app, source, root, options), app);
  }

  async blobs(app: string): Promise<string[]> {
    await this.#parts.ledger.apps.find(app);
    return await this.#parts.ledger.content.blobsOf(app);
  }

  async releases(app: string, limit = DEFAULT_LIMIT): Promise<Release[]> {
    return await Promise.all(
      (await this.#parts.ledger.releases.list(app, limit)).map((row) => this.#parts.releases.read(row)),
    );
  }

  async release(app: string, id: string): Promise<Release> {
    return await this.#parts.releases.read(await this.#parts.ledger.releases.find(app, id));
  }

  async promote(app: string, id: string, options: PromoteOptions = {}): Promise<void> {
    await (await this.startPromotion(app, id, options)).done;
  }

  /** Resolves when the promotion is on record. */
  async startPromotion(app: string, id: string, options: PromoteOptions = {}): Promise<Promoting> {
    if (await this.#parts.runtime()) {
      const { startPromotion } = await import("./promoting.ts");
      const { done } = await startPromotion(this.#parts, app, id, options);
      const ended = done.finally(() => this.#parts.upkeep.run());
      ended.catch(() => undefined);
      return { done: ended };
    }
    await this.#parts.ledger.releases.activate(app, id);
    return { done: Promise.resolve() };
  }

  /** Cancels a promotion; one whose process is gone is brought back at once. */
  async cancel(app: string): Promise<void> {
    if ((await this.#parts.ledger.promotions.abandoned(app)).length === 0)
      return await this.#parts.ledger.promotions.cancel(app);
    const { settleApp } = await import("./promoting.ts");
    await settleApp(this.#parts, app).finally(() => this.#parts.upkeep.run());
  }

  async createRelease(app: string, release: NewRelease): Promise<Release> {
    return await this.#smallChange(() => this.#parts.releases.create(app, release), app);
  }
}

/** An app whose promotion or deletion was stopped, as it is shown. */
function inBetween(app: App): App {
  return { ...app, status: app.status === "deleting" ? "deleting" : "rollback" };
}
