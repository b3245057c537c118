import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ByteStream } from "../bytes.ts";
import { decompressed } from "../compression.ts";
import { DavitError } from "../errors.ts";
import { Rooms } from "../room.ts";
import { readDocument, type Spoken } from "../tree/document.ts";
import type { Hash } from "../tree/listing.ts";
import { Mirror } from "../tree/mirror.ts";
import { checkId } from "./ids.ts";

/** Mirrors of one app: so many of its builds can have their source sent this way at once. */
const MOST = 4;
/** Where content waits for its place: any mirror of the app may need it. */
const LOOSE = "loose";
/** How long a source waits for the build that was announced with it, in milliseconds. */
const PATIENCE = 10 * 60 * 1000;
/** How long an app's mirror is kept unused, in milliseconds. */
const KEPT = 7 * 24 * 60 * 60 * 1000;
/** The largest list of directories that is read, in bytes, and how many it may name. */
const MAX_ASKED = 64 * 1024 * 1024;
const MOST_DIRECTORIES = 100_000;

/** What a client is told to send. */
export interface Wanted {
  /** The mirror that the rest is there in; "" where none is free. */
  mirror: string;
  listings: Hash[];
  /** Of the files that the document lists, one after the other, a bit each; in base64. */
  files: string;
}

/** A source that is held for a build. */
interface Held {
  app: string;
  slot: string;
  forget: ReturnType<typeof setTimeout>;
}

/**
 * Copies of the directories that apps are built from, each kept where it is from one
 * build to the next: clients send what differs, and engines are sent no more than that.
 * A mirror only saves work: a client that finds none free or whole sends everything. Mirrors bear
 * apps' ids, so the next app of a name finds nothing of the one before.
 */
export class SourceMirrors {
  readonly #dir: string;
  /** Mirrors that are being changed or built from. */
  readonly #busy = new Set<string>();
  /** Mirrors that are being changed. */
  readonly #changing = new Set<string>();
  readonly #held = new Map<string, Held>();
  /** An app's questions wait for each other: each is read into memory. */
  readonly #asked = new Rooms(1);

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** What of a document a mirror lacks: the one that was said before, or the one that holds most of it. */
  async ask(app: string, before: string, body: ByteStream): Promise<Wanted> {
    return await this.#asked.with(app, 1, () => this.#ask(app, before, body));
  }

  async #ask(app: string, before: string, body: ByteStream): Promise<Wanted> {
    const document: Spoken[] = [];
    for await (const spoken of readDocument(decompressed(body), MAX_ASKED)) {
      if (document.length >= MOST_DIRECTORIES)
        throw new DavitError("unsupported", `the source has more than ${MOST_DIRECTORIES} directories`);
      document.push(spoken);
    }
    const slot =
      before ||
      this.#best(
        app,
        document.map(({ hash }) => hash),
      );
    const mirror = this.#mirror(app, slot);
    const { listings, files } = await mirror.lacking(document);
    return { mirror: slot, listings: [...listings], files: Buffer.from(files.bytes).toString("base64") };
  }

  /** Brings a mirror to another state, and holds it until a build takes it. Returns the name it is held under. */
  async put(app: string, slot: string, root: Hash, delta: ByteStream, signal: AbortSignal): Promise<string> {
    const dir = this.#place(app, slot);
    if (this.#busy.has(dir)) throw busy();
    this.#busy.add(dir);
    this.#changing.add(dir);
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      await this.#mirror(app, slot).update(root, decompressed(delta), signal);
    } catch (error) {
      this.#busy.delete(dir);
      throw error;
    } finally {
      this.#changing.delete(dir);
    }
    await this.#tidy(app);
    const id = crypto.randomUUID();
    const forget = setTimeout(() => this.take(app, id)?.[Symbol.dispose](), PATIENCE);
    forget.unref();
    this.#held.set(id, { app, slot, forget });
    return id;
  }

  /** Content that no mirror has come for is nobody's, once none of the app is being changed. */
  async #tidy(app: string): Promise<void> {
    const inside = [...this.#changing].some((dir) => dir.startsWith(join(this.#dir, app, "/")));
    if (!inside) await rm(join(this.#dir, app, LOOSE), { recursive: true, force: true });
  }

  /** A held source, for the one build that comes for it. */
  take(app: string, id: string): ({ dir: string } & Disposable) | undefined {
    const held = this.#held.get(id);
    if (held?.app !== app) return undefined;
    this.#held.delete(id);
    clearTimeout(held.forget);
    const dir = join(this.#dir, app, held.slot);
    return { dir: this.#mirror(app, held.slot).tree, [Symbol.dispose]: () => void this.#busy.delete(dir) };
  }

  #mirror(app: string, slot: string): Mirror {
    return new Mirror(this.#place(app, slot), join(this.#dir, app, LOOSE));
  }

  #place(app: string, slot: string): string {
    if (!/^[0-9]$/.test(slot)) throw new DavitError("invalid", "no such mirror");
    return join(this.#dir, checkId(app), slot);
  }

  #best(app: string, hashes: Hash[]): string {
    const slots = Array.from({ length: MOST }, (_, i) => String(i));
    const free = slots.filter((slot) => !this.#busy.has(join(this.#dir, app, slot)));
    if (free.length === 0) throw busy();
    const known = free.map((slot) => this.#mirror(app, slot).known(hashes));
    return free[known.indexOf(Math.max(...known))] ?? "0";
  }

  /** Removes what has not been used for long, and all of apps that are gone. */
  async sweep(apps: readonly string[], now: number): Promise<void> {
    for (const app of await names(this.#dir))
      for (const slot of await names(join(this.#dir, app))) {
        const dir = join(this.#dir, app, slot);
        if (this.#busy.has(dir) || (apps.includes(app) && now - (await usedAt(dir)) < KEPT)) continue;
        await rm(dir, { recursive: true, force: true });
      }
  }
}

async function names(dir: string): Promise<string[]> {
  return await readdir(dir).catch(() => []);
}

/** Any change of a mirror makes or removes a file in it. */
async function usedAt(dir: string): Promise<number> {
  return (await stat(dir).catch(() => undefined))?.mtimeMs ?? 0;
}

function busy(): DavitError {
  return new DavitError("busy", "every mirror of the app's source is in use");
}
