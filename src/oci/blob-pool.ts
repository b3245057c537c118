import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, Digester, digestAlgorithm, digestHex } from "./digest.ts";
import { Verifier } from "./verify.ts";

/** How much is read from a blob at a time, in bytes. */
const PIECE = 512 * 1024;
/** When a half-written blob of a process that cannot be seen counts as left behind, in milliseconds. */
const ABANDONED_AFTER = 24 * 60 * 60 * 1000;
/** How much is written before the disk is asked to begin, in bytes. */
const SYNC_EVERY = 16 * 1024 * 1024;

/**
 * Blobs as files named by digest, in the `blobs/` of an OCI image layout. As in
 * containerd's content store a blob is written beside its place, hashed on the
 * way, fsynced, renamed, and its directory fsynced: under a digest's name there
 * is the whole blob or nothing, whatever moment the power fails.
 */
export class BlobPool {
  readonly root: string;
  #ready: Promise<void> | undefined;

  constructor(root: string) {
    this.root = root;
  }

  path(digest: Digest): string {
    return join(this.root, "blobs", digestAlgorithm(digest), digestHex(digest));
  }

  async has(descriptor: Descriptor): Promise<boolean> {
    try {
      return (await stat(this.path(descriptor.digest))).size === descriptor.size;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return false;
      throw systemError(`Cannot look for ${descriptor.digest}`, error);
    }
  }

  async read(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    return pieces(await this.#open(descriptor), from, descriptor);
  }

  async #open(descriptor: Descriptor): Promise<FileHandle> {
    try {
      return await open(this.path(descriptor.digest), "r");
    } catch (error) {
      if (systemCode(error) === "ENOENT")
        throw new DavitError("not-found", `Cannot read ${descriptor.digest}: it is not in ${this.root}`, {
          cause: error,
        });
      throw systemError(`Cannot read ${descriptor.digest}`, error);
    }
  }

  /** Starts a blob; the algorithm matters only to callers that expect a sha512. */
  async writer(algorithm: "sha256" | "sha512" = "sha256"): Promise<PoolWriter> {
    this.#ready ??= this.#prepare();
    await this.#ready;
    const name = `${ownerText(thisProcess())}.${crypto.randomUUID()}`;
    const path = join(this.root, "ingest", name);
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
      return new PoolWriter(this, path, await open(path, flags, 0o400), algorithm);
    } catch (error) {
      throw systemError(`Cannot write to ${this.root}`, error);
    }
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  async #prepare(): Promise<void> {
    try {
      for (const dir of ["ingest", "blobs/sha256", "blobs/sha512"])
        await mkdir(join(this.root, dir), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw systemError(`Cannot write to ${this.root}`, error);
    }
    await this.sweep();
  }

  /** Removes what processes that are gone left half-written. */
  async sweep(): Promise<void> {
    const dir = join(this.root, "ingest");
    for (const name of await readdir(dir)) {
      const path = join(dir, name);
      const changed = await stat(path).then(
        (info) => info.mtimeMs,
        () => Number.POSITIVE_INFINITY,
      );
      if (isAbandoned(name, changed + ABANDONED_AFTER, Date.now())) await rm(path, { force: true });
    }
  }
}

/**
 * Reads a file piece by piece into two buffers in turn: while one is in use, the
 * other is read and, in a whole read, hashed. A wrong digest is thrown at the end.
 */
async function* pieces(file: FileHandle, from: number, descriptor: Descriptor): AsyncGenerator<Bytes> {
  const verifier = from === 0 ? new Verifier(descriptor) : undefined;
  const length = Math.max(1, Math.min(PIECE, descriptor.size));
  const buffers = [new Uint8Array(length), new Uint8Array(descriptor.size > PIECE ? length : 0)];
  let at = from;
  const fill = async (buffer: Bytes): Promise<Bytes> => {
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, at);
    at += bytesRead;
    const piece = buffer.subarray(0, bytesRead);
    verifier?.update(piece);
    return piece;
  };
  try {
    let next: Promise<Bytes> | undefined = fill(buffers[0] ?? new Uint8Array(1));
    for (let turn = 1; next; turn = 1 - turn) {
      const piece: Bytes = await next;
      if (piece.byteLength === 0) break;
      next = at < descriptor.size ? fill(buffers[turn] ?? new Uint8Array(1)) : undefined;
      next?.catch(() => undefined);
      yield piece;
    }
    verifier?.end();
  } finally {
    await file.close();
  }
}

/** One blob on its way into the pool. */
export class PoolWriter {
  readonly #pool: BlobPool;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #digester: Digester;
  #digest: Digest | undefined;
  #filling: Bytes = new Uint8Array(PIECE);
  #spare: Bytes | undefined;
  #filled = 0;
  #writing: Promise<void> = Promise.resolve();
  #synced = 0;
  #syncing: Promise<void> | undefined;
  offset = 0;

  constructor(pool: BlobPool, path: string, file: FileHandle, algorithm: "sha256" | "sha512") {
    this.#pool = pool;
    this.#path = path;
    this.#file = file;
    this.#digester = new Digester(algorithm);
  }

  /** Copies the chunk and hashes it, while what came before is written on another thread. */
  async write(chunk: Bytes): Promise<void> {
    this.#digester.update(chunk);
    this.offset += chunk.byteLength;
    for (let at = 0; at < chunk.byteLength; ) {
      const part = chunk.subarray(at, at + PIECE - this.#filled);
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
    this.#writing = writeAll(this.#file, this.#filling.subarray(0, this.#filled));
    this.#writing.catch(() => undefined);
    [this.#filling, this.#spare] = [this.#spare ?? new Uint8Array(PIECE), this.#filling];
    this.#filled = 0;
    this.#startSync();
  }

  /** Lets the disk work while bytes still come, so that the fsync at the end finds little left to do. */
  #startSync(): void {
    if (this.#syncing || this.offset - this.#synced < SYNC_EVERY) return;
    this.#synced = this.offset;
    this.#syncing = this.#file.datasync().then(
      () => {
        this.#syncing = undefined;
      },
      () => undefined, // the fsync of the commit meets the same error, and reports it
    );
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
      await this.#file.sync();
      await this.#file.close();
      const target = this.#pool.path(actual.digest);
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
