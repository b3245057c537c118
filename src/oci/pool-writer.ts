import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Bytes } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest, Digester } from "./digest.ts";

/** Bytes written at a time. */
const PIECE = 512 * 1024;
/** How much is written before the disk is asked to begin, in bytes. */
const SYNC_EVERY = 16 * 1024 * 1024;

/** One blob on its way into the pool. */
export class PoolWriter {
  readonly #target: (digest: Digest) => string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #digester: Digester;
  #digest: Digest | undefined;
  #filling: Bytes | undefined;
  #spare: Bytes | undefined;
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();
  #synced = 0;
  #syncing: Promise<void> | undefined;
  #syncFailure: unknown;
  offset = 0;

  /**
   * `path` is where it is written, `target` where it belongs under the digest it
   * turns out to have. A blob begun earlier comes with its digester and its offset.
   */
  constructor(
    target: (digest: Digest) => string,
    path: string,
    file: FileHandle,
    digester: Digester,
    offset = 0,
  ) {
    this.#target = target;
    this.#path = path;
    this.#file = file;
    this.#digester = digester;
    this.offset = offset;
  }

  /** Copies the chunk and hashes it, while what came before is written on another thread. */
  async write(chunk: Bytes): Promise<void> {
    this.#digester.update(chunk);
    this.offset += chunk.byteLength;
    for (let at = 0; at < chunk.byteLength; ) {
      const part = chunk.subarray(at, at + PIECE - this.#filled);
      this.#filling ??= new Uint8Array(PIECE);
      this.#filling.set(part, this.#filled);
      this.#filled += part.byteLength;
      at += part.byteLength;
      if (this.#filled === PIECE) await this.#turn();
    }
  }

  /** Sends the full buffer on its way and fills the other one. */
  async #turn(): Promise<void> {
    try {
      await this.#writing;
    } catch (error) {
      await this.abort();
      throw systemError("Cannot write a blob", error);
    }
    this.#writing = this.#filling
      ? writeAll(this.#file, this.#filling.subarray(0, this.#filled))
      : Promise.resolve();
    this.#writing.catch(() => undefined);
    [this.#filling, this.#spare] = [this.#spare, this.#filling];
    this.#filled = 0;
    this.#startSync();
  }

  /**
   * Lets the disk work while bytes still come, so that the fsync at the end finds
   * little left to do. A failure is kept: the kernel reports it once, and the next
   * fsync of the same file would succeed over lost bytes.
   */
  #startSync(): void {
    if (this.#syncing || this.offset - this.#synced < SYNC_EVERY) return;
    this.#synced = this.offset;
    this.#syncing = this.#file.datasync().then(
      () => {
        this.#syncing = undefined;
      },
      (error: unknown) => {
        this.#syncFailure = error;
      },
    );
  }

  /** Lets go of the file with every byte in it, to be gone on with later; its digester stays good. */
  async pause(): Promise<void> {
    await this.#turn();
    try {
      await this.#writing;
      await this.#syncing;
    } finally {
      await this.#file.close();
    }
  }

  /** The digest of what was written; nothing can be written after it. */
  digest(): Digest {
    this.#digest ??= this.#digester.digest();
    return this.#digest;
  }

  async commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    const actual: Descriptor = { mediaType, digest: this.digest(), size: this.offset };
    try {
      if (expected && (expected.digest !== actual.digest || expected.size !== actual.size))
        throw differs(expected, actual);
      await this.#turn();
      await this.#writing;
      await this.#syncing;
      if (this.#syncFailure !== undefined) throw this.#syncFailure;
      await this.#file.sync();
      await this.#file.close();
      const target = this.#target(actual.digest);
      await rename(this.#path, target);
      await syncDirectory(join(target, ".."));
      return actual;
    } catch (error) {
      await this.abort();
      throw systemError(`Cannot store ${actual.digest}`, error);
    }
  }

  async abort(): Promise<void> {
    await this.#writing.catch(() => undefined);
    await this.#syncing;
    await this.#file.close().catch(() => undefined);
    await rm(this.#path, { force: true });
  }
}

async function writeAll(file: FileHandle, chunk: Bytes): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    const { bytesWritten } = await file.write(chunk, done, chunk.byteLength - done);
    done += bytesWritten;
  }
}

function differs(expected: Descriptor, actual: Descriptor): DavitError {
  return new DavitError(
    "mismatch",
    `Cannot store ${expected.digest} (${expected.size} bytes): got ${actual.digest} (${actual.size} bytes)`,
    { hint: "the content is damaged where it comes from; make or fetch it again" },
  );
}

/** Makes a rename durable. Windows has no such thing and needs none. */
export async function syncDirectory(path: string): Promise<void> {
  if (process.platform === "win32") return;
  const dir = await open(path, "r");
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
}
