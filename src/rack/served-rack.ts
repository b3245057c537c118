import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { BuildStep } from "../bundle/record.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError, hasCode, reasonOf, systemError } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { digestOf, parseDigest } from "../oci/digest.ts";
import { removeScratch } from "../scratch.ts";
import { buildLimit } from "./build-limit.ts";
import { BuildQueue, type QueueLimits } from "./build-queue.ts";
import type { EmbeddedRack } from "./embedded.ts";
import { carryOut, type Sourced } from "./embedded-build.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { type ImageSource, logOf, pinImage, pinPushed, requireImage, servicesOf } from "./external-build.ts";
import { newId } from "./ids.ts";
import { whileLeading } from "./leading.ts";
import { MOVING, moveContent } from "./mover.ts";
import { type Promoting, settleAll } from "./promoting.ts";
import type { Build, BuildOptions, PromoteOptions } from "./rack.ts";
import { type BuildRow, buildOf } from "./rows.ts";
import { findSource, type ServedSource } from "./served-source.ts";
import { SourceMirrors } from "./source-mirrors.ts";

/** How long a client may take for a build it makes itself, in milliseconds. */
const EXTERNAL = 24 * 60 * 60 * 1000;
/** Between signs of life of builds that wait, in milliseconds. */
const BEAT = 10_000;
/** Between looks for mirrors that nobody uses, in milliseconds. */
const SWEEP = 60 * 60 * 1000;
/** How long a promotion may take to go back, and between looks, in milliseconds. */
const PATIENCE = 5 * 60 * 1000;
const LOOK = 500;
/** Between tries of what commits owe, where one has failed, in milliseconds. */
const AGAIN = 60_000;
const OBJECT = "application/octet-stream";
/** How many images may be copied in at once for one app: an app's slow registries keep no other app waiting. */
const MOST_IMPORTS = 4;

/** A build that a client asks for. */
export interface BuildRequest extends Omit<BuildOptions, "dir" | "external"> {
  /** Where the source is: `object://APP/KEY`; nothing of an external build. */
  url: string;
  /** The client builds, and pushes the images. */
  external: boolean;
}

/** What a client says of a build it makes itself. Whatever is left out stays as it is. */
export interface BuildUpdate {
  manifest?: string;
  entrypoint?: string;
  started?: string;
  release?: string;
  status?: string;
  /** What its engine did; for the record, with `complete`. */
  steps?: BuildStep[];
}

/** About what a build leaves to the collector, in bytes: files that were read, archives, requests. */
const LEFT_BEHIND = 4 * 1024 * 1024;
const garbage = new Garbage();

/** What a rack does for clients that reach it through its server: it keeps their uploads, and runs their builds. */
export class ServedRack {
  readonly #parts: EmbeddedParts;
  readonly queue: BuildQueue;
  /** The directories that clients build from, as they were last. */
  readonly mirrors: SourceMirrors;
  /** By build. */
  readonly #imports = new Map<string, { app: string; done: Promise<void> }>();
  readonly #promotions = new Set<Promise<void>>();
  readonly #stopping = new AbortController();
  #moving: Promise<void> | undefined;
  #tending: Promise<void> | undefined;
  #tended = Number.NEGATIVE_INFINITY;
  #moveProblem = "";
  #beat: ReturnType<typeof setInterval> | undefined;
  #swept = 0;

  constructor(parts: EmbeddedParts, limits: QueueLimits) {
    this.#parts = parts;
    parts.upkeep.hasServer = true;
    this.queue = new BuildQueue(limits);
    this.mirrors = new SourceMirrors(join(parts.dir, "sources"));
  }

  /** Marks and removes what an earlier server left. */
  async start(): Promise<void> {
    await this.#parts.ledger.builds.failAbandoned();
    const work = this.#work();
    for (const name of await readdir(work).catch(() => [])) await removeScratch(join(work, name));
    const { places } = this.#parts.ledger;
    const { name } = await this.#parts.collector.places.current();
    if ((await places.countElsewhere(name)).blobs > 0) await this.#parts.ledger.setFact(MOVING, "yes");
    this.move();
    this.#tend();
    this.#sweepMirrors();
    this.#beat = setInterval(() => void this.#live().catch(() => undefined), BEAT);
  }

  /** Builds that wait are alive as long as this server is; a move that stopped is taken up again. */
  async #live(): Promise<void> {
    const { waiting } = this.queue;
    if (waiting.length > 0) await this.#parts.ledger.builds.renew(waiting);
    this.move();
    this.#tend();
    if (performance.now() - this.#swept > SWEEP) this.#sweepMirrors();
  }

  /**
   * Does what commits owe and what stopped processes have left, in the background: one
   * server of a rack does. What fails is in the audit log, and tried again a while later.
   */
  #tend(): void {
    if (performance.now() - this.#tended < AGAIN) return;
    this.#tending ??= whileLeading(this.#parts.ledger, "tender", async () => {
      const isWell = await settleAll(this.#parts);
      await this.#parts.upkeep.sweep();
      if (!isWell || (await this.#parts.ledger.duties.list()).length > 0) this.#tended = performance.now();
    })
      .catch(() => undefined)
      .finally(() => {
        this.#tending = undefined;
      });
  }

  #sweepMirrors(): void {
    this.#swept = performance.now();
    const sweep = async (): Promise<void> => {
      await this.mirrors.sweep(await this.#parts.ledger.apps.ids(), this.#parts.now().getTime());
    };
    void sweep().catch(() => undefined);
  }

  /**
   * Brings content to where it belongs, in the background: one process of a rack does.
   * A move that fails is in the audit log, and tried again with the next sweep.
   */
  move(): void {
    this.#moving ??= this.#moveAlone()
      .catch((error: unknown) => this.#moveFailed(reasonOf(error)))
      .catch(() => undefined)
      .finally(() => {
        this.#moving = undefined;
      });
  }

  /** Said once, however often it happens. */
  async #moveFailed(error: string): Promise<void> {
    if (this.#stopping.signal.aborted || error === this.#moveProblem) return;
    this.#moveProblem = error;
    const event = { actor: "davit", action: "rack:move", status: "error", error, data: {} };
    await this.#parts.ledger.events.add(event);
  }

  async #moveAlone(): Promise<void> {
    if (!(await this.#parts.ledger.known(MOVING))) return;
    await whileLeading(this.#parts.ledger, "mover", (signal) =>
      moveContent(this.#parts, { signal: AbortSignal.any([signal, this.#stopping.signal]) }),
    ).finally(() => this.#parts.upkeep.run());
  }

  /** Ends what runs; every build that was on its way is marked. */
  async stop(): Promise<void> {
    clearInterval(this.#beat);
    this.#stopping.abort();
    const waiting = this.queue.waiting;
    await this.queue.close();
    for (const id of waiting)
      await this.#parts.ledger.builds.fail(id, "the rack was stopped before it began");
    const imports = [...this.#imports.values()].map(({ done }) => done);
    await Promise.allSettled([...imports, ...this.#promotions, this.#moving, this.#tending]);
  }

  #work(): string {
    return join(this.#parts.dir, "work");
  }

  /** Keeps a file under a key, and returns its address. An empty key gets one. */
  async putObject(app: string, key: string, content: ByteStream): Promise<string> {
    const name =
      key === "" ? `tmp/${Buffer.from(crypto.getRandomValues(new Uint8Array(15))).toString("hex")}` : key;
    await this.#parts.ledger.apps.find(app);
    await this.#parts.store(app).lease(async (store) => {
      const writer = await store.writer();
      try {
        for await (const chunk of content) await writer.write(chunk);
      } catch (error) {
        await writer.abort();
        throw error;
      }
      const blob = await writer.commit(OBJECT);
      await store.keep(blob);
      await this.#parts.ledger.objects.put(app, name, blob);
    });
    return `object://${app}/${name}`;
  }

  async object(app: string, key: string): Promise<{ size: number; stream: ByteStream }> {
    await this.#parts.ledger.apps.find(app);
    const build = /^build\/(B[A-Z]{10})\/logs$/.exec(key)?.[1];
    if (build !== undefined) {
      const row = await this.#parts.ledger.builds.find(app, build);
      if (row.log_digest !== "") {
        const log = logOfRow(row);
        return { size: log.size, stream: await this.#parts.store(app).fetch(log) };
      }
    }
    const found = await this.#parts.ledger.objects.find(app, key);
    if (!found) throw new DavitError("not-found", `object not found: ${key}`);
    return { size: found.size, stream: await this.#parts.store(app).fetch({ mediaType: OBJECT, ...found }) };
  }

  async deleteObject(app: string, key: string): Promise<void> {
    await this.#parts.ledger.apps.find(app);
    if (!(await this.#parts.ledger.objects.remove(app, key)))
      throw new DavitError("not-found", `object not found: ${key}`);
    await this.#parts.upkeep.run();
  }

  async objects(app: string, prefix: string): Promise<string[]> {
    await this.#parts.ledger.apps.find(app);
    return await this.#parts.ledger.objects.keys(app, prefix);
  }

  /** Begins to promote; how it ends is on record, and a stop of the server ends it. */
  async promote(
    rack: EmbeddedRack,
    app: string,
    id: string,
    { force, ...options }: Omit<PromoteOptions, "signal"> & { force: boolean },
  ): Promise<void> {
    const begin = () => rack.startPromotion(app, id, { ...options, signal: this.#stopping.signal });
    const { done } = await (force ? this.#makeWay(rack, app, begin) : begin());
    const ended = done.catch(() => undefined).then(() => void this.#promotions.delete(ended));
    this.#promotions.add(ended);
  }

  /** Begins a promotion after cancelling the one that is on its way, and any other that comes in between. */
  async #makeWay(rack: EmbeddedRack, app: string, begin: () => Promise<Promoting>): Promise<Promoting> {
    for (const end = performance.now() + PATIENCE; ; await Bun.sleep(LOOK)) {
      const begun = await begin().catch((error: unknown) => {
        if (!hasCode(error, "denied") || performance.now() > end) throw error;
      });
      if (begun) return begun;
      await rack.cancel(app).catch(() => undefined);
    }
  }

  /** Records a build, and has it run when its turn comes. */
  async createBuild(app: string, request: BuildRequest, onEnd: (build: Build) => void): Promise<Build> {
    using _ = this.queue.reserve(app);
    const source = await findSource(this.#parts, this, app, request.url);
    try {
      const row = await this.#parts.ledger.builds.create(this.#newBuild(app, request));
      this.queue.add(app, row.id, (signal) => this.#run(row, source, request, signal, onEnd));
      return buildOf(row);
    } catch (error) {
      source[Symbol.dispose]();
      throw error;
    }
  }

  /** Records a build that a client makes itself, and the secret it may push that build's images with. */
  async createExternal(app: string, request: BuildRequest): Promise<{ build: Build; secret: string }> {
    const until = this.#parts.now().getTime() + EXTERNAL;
    const secret = Buffer.from(crypto.getRandomValues(new Uint8Array(24))).toString("hex");
    const row = await this.#parts.ledger.builds.create(this.#newBuild(app, request), until, hashOf(secret));
    return { build: buildOf(row), secret };
  }

  /** The build whose images a secret may push. */
  async granted(secret: string): Promise<{ app: string; build: string } | undefined> {
    return await this.#parts.ledger.builds.grants.find(hashOf(secret));
  }

  #newBuild(app: string, { description, gitSha, wildcardDomain }: BuildRequest) {
    const id = newId("B", this.#parts.random);
    return { id, app, description: description ?? "", gitSha: gitSha ?? "", wildcardDomain };
  }

  async #run(
    row: BuildRow,
    held: ServedSource,
    request: BuildRequest,
    signal: AbortSignal,
    onEnd: (build: Build) => void,
  ): Promise<void> {
    const dir = join(this.#work(), row.id);
    const source = async (): Promise<Sourced> => {
      await mkdir(dir, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
        throw systemError("Cannot unpack the source", error);
      });
      return await held.open(request, dir, signal);
    };
    try {
      await this.#parts.ledger.builds.begin(row.id);
      using limit = await buildLimit(this.#parts.settings);
      await carryOut(this.#parts, row, source, {}, AbortSignal.any([signal, limit.signal]), true);
    } catch (error) {
      // Most failures have marked the build already; it must not stay open after any.
      await this.#parts.ledger.builds.fail(row.id, reasonOf(error)).catch(() => undefined);
    } finally {
      garbage.made(LEFT_BEHIND);
      held[Symbol.dispose]();
      await removeScratch(dir);
      await this.#parts.upkeep.run();
    }
    onEnd(buildOf(await this.#parts.ledger.builds.find(row.app, row.id)));
  }

  /** What a client says of its build. Complete is refused until every image is here. */
  async updateBuild(app: string, id: string, update: BuildUpdate): Promise<Build> {
    const { builds } = this.#parts.ledger;
    const { status, release, steps, ...note } = update;
    if (Object.keys(note).length > 0) await builds.note(app, id, note);
    if (release !== undefined) await builds.setRelease(app, id, release);
    const now = (await builds.find(app, id)).status;
    const open = now === "created" || now === "running";
    if (status === "running" && open) await builds.note(app, id, { status });
    if (status === "complete" && now !== "complete") await pinPushed(this.#parts, app, id, steps);
    if (status === "failed" && open) await this.#failed(app, id);
    await this.#parts.upkeep.run();
    return buildOf(await builds.find(app, id));
  }

  async #failed(app: string, id: string): Promise<void> {
    const { builds } = this.#parts.ledger;
    await this.#parts.store(app).lease(async (store) => {
      const log = await logOf(this.#parts, store, app, id);
      await store.keep(log);
      await builds.fail(id, "its client said so", log);
    });
  }

  /** Begins to copy images that are in registries already; the build's row says when that is done. */
  async importImage(app: string, id: string, source: ImageSource): Promise<void> {
    if (this.#imports.has(id)) throw begun(id);
    const running = [...this.#imports.values()].filter((one) => one.app === app).length;
    if (running >= MOST_IMPORTS)
      throw new DavitError("conflict", "too many imports are running: try again when some are done");
    const { promise, resolve } = Promise.withResolvers<void>();
    // Its place is taken before anything is waited for: others that come meanwhile find it so.
    this.#imports.set(id, { app, done: promise });
    const end = (): void => {
      this.#imports.delete(id);
      resolve();
    };
    try {
      requireImage(source.image);
      await servicesOf(this.#parts, app, id);
      if (!(await this.#parts.ledger.builds.claim(app, id))) throw begun(id);
    } catch (error) {
      end();
      throw error;
    }
    void pinImage(this.#parts, app, id, source)
      .catch(() => undefined)
      .then(() => this.#parts.upkeep.run())
      .finally(end);
  }
}

function begun(id: string): DavitError {
  return new DavitError("conflict", `an import of build ${id} has begun already`);
}

function logOfRow(row: BuildRow): Descriptor {
  return { mediaType: OBJECT, digest: parseDigest(row.log_digest), size: row.log_size };
}

function hashOf(secret: string): string {
  return digestOf(new TextEncoder().encode(secret));
}
