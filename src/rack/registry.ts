import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { systemCode } from "../errors.ts";
import type { Fence } from "./leader-ledger.ts";
import type { RegistryLedger } from "./registry-ledger.ts";
import { type RegistryParts, Repository } from "./repository.ts";
import { Uploads } from "./uploads.ts";

/** Between looks for what may be swept, in milliseconds. */
const SWEEP_EVERY = 10 * 60 * 1000;

/** A rack's content as a registry's repositories, one for each app. */
export class Registry implements AsyncDisposable {
  readonly parts: RegistryParts;
  readonly ledger: RegistryLedger;
  readonly uploads: Uploads;
  readonly #id = crypto.randomUUID();
  #lead: Fence | undefined;
  #sweeper: ReturnType<typeof setInterval> | undefined;

  constructor(parts: RegistryParts) {
    this.parts = parts;
    this.ledger = parts.ledger.registry;
    this.uploads = new Uploads(parts.ledger, parts.collector.places);
  }

  /** Sweeps now and then, as long as it serves. */
  async start(): Promise<void> {
    await this.sweep();
    this.#sweeper = setInterval(() => void this.sweep().catch(() => undefined), SWEEP_EVERY);
    this.#sweeper.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#sweeper);
    if (this.#lead) await this.parts.ledger.leaders.release(this.#lead).catch(() => undefined);
  }

  /** A repository to read from; undefined when there is none of that name. */
  async repository(name: string): Promise<Repository | undefined> {
    return (await this.ledger.hasRepository(name)) ? new Repository(this, name) : undefined;
  }

  /** A repository to write to: made now, where pushes may make them. */
  async writable(name: string): Promise<Repository | undefined> {
    if (!(await this.ledger.hasRepository(name))) {
      if (!this.parts.createsRepositories) return undefined;
      await this.ledger.createRepository(name);
    }
    return new Repository(this, name);
  }

  /** Where many serve one rack, one of them sweeps what they share, until it is silent for too long. */
  async #isSweeper(): Promise<boolean> {
    const { db, leaders } = this.parts.ledger;
    if (!db.shared) return true;
    this.#lead = await leaders.take("sweeper", this.#id, 2 * SWEEP_EVERY);
    return this.#lead !== undefined;
  }

  /** Removes uploads nobody goes on with, sources no build came for, what others left half-written, and then what nothing reaches. */
  async sweep(): Promise<void> {
    const { pool } = this.parts.collector.places.own;
    const dir = join(pool.root, "uploads");
    // Listed before the ledger is asked: what begins meanwhile is in the ledger first, and not in these lists.
    const [files, open] = [await namesIn(dir), this.uploads.open];
    const known = await this.ledger.sweepUploads();
    for (const id of open) if (!known.has(id)) this.uploads.close(id);
    for (const id of files) if (!known.has(id)) await rm(join(dir, id), { force: true });
    await pool.ready();
    await pool.sweep();
    if (!(await this.#isSweeper())) return;
    await this.parts.ledger.objects.expire();
    await this.parts.collector.recover();
    await this.parts.collector.run();
  }
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return [];
    throw error;
  }
}
