import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { checkJson, Type } from "../schema.ts";

const Entry = Type.Object({
  /** Where the upload goes on. */
  location: Type.String(),
  /** The process that is at it. */
  owner: Type.String(),
  /** Milliseconds since 1970. */
  until: Type.Integer(),
});

/** How long a registry can be expected to keep an upload that nobody goes on with, in milliseconds. */
const LIFE = 24 * 60 * 60 * 1000;

/** Where it is noted how far an upload has come. */
export interface UploadNotes {
  /** The location that a process which is gone left behind. */
  left(): Promise<string | undefined>;
  keep(location: string): Promise<void>;
  forget(): Promise<void>;
}

/**
 * Uploads under way, one small file each, so that a later process can go on with
 * what a killed one began. Losing one costs no more than beginning anew.
 */
export class UploadJournal implements UploadNotes {
  readonly #path: string | undefined;

  /** `what` names the blob: host, repository and digest. `dir` undefined keeps nothing. */
  constructor(dir: string | undefined, what: string) {
    const name = createHash("sha256").update(what).digest("hex");
    this.#path = dir === undefined ? undefined : join(dir, "uploads", `${name}.json`);
  }

  async left(): Promise<string | undefined> {
    if (this.#path === undefined) return undefined;
    try {
      const entry = checkJson(Entry, await readFile(this.#path, "utf8"), this.#path);
      const now = Date.now();
      return entry.until > now && isAbandoned(entry.owner, entry.until, now) ? entry.location : undefined;
    } catch {
      return undefined;
    }
  }

  async keep(location: string): Promise<void> {
    if (this.#path === undefined) return;
    const entry = { location, owner: ownerText(thisProcess()), until: Date.now() + LIFE };
    const part = `${this.#path}.${crypto.randomUUID()}`;
    try {
      await mkdir(join(this.#path, ".."), { recursive: true, mode: 0o700 });
      await writeFile(part, JSON.stringify(entry), { mode: 0o600 });
      await rename(part, this.#path);
    } catch {
      await rm(part, { force: true }).catch(() => undefined);
    }
  }

  async forget(): Promise<void> {
    if (this.#path !== undefined) await rm(this.#path, { force: true }).catch(() => undefined);
  }
}
