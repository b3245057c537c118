import { constants } from "node:fs";
import { type FileHandle, mkdir, open, readdir, realpath, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError, hasCode, systemCode, systemError } from "../errors.ts";
import { Once } from "../once.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { openPlain } from "../plain-file.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, Digester, digestAlgorithm, digestHex } from "./digest.ts";
import { PoolWriter } from "./pool-writer.ts";
import { Verifier } from "./verify.ts";

/** How much is read from a blob at a time, in bytes. */
const PIECE = 512 * 1024;
/** When a half-written blob of a process that cannot be seen counts as left behind, in milliseconds. */
const ABANDONED_AFTER = 24 * 60 * 60 * 1000;

/**
 * Blobs as files named by digest, in the `blobs/` of an OCI image layout. As in
 * containerd's content store a blob is written beside its place, hashed on the
 * way, fsynced, renamed, and its directory fsynced: under a digest's name there
 * is the whole blob or nothing, whatever moment the power fails.
 */
export class BlobPool {
  readonly root: string;
  readonly #ready = new Once<void>();

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
      // A layout that others made may hold links; what they lead to is a plain file, and no database in use.
      const path = await realpath(this.path(descriptor.digest));
      return await openPlain({ path, name: descriptor.digest });
    } catch (error) {
      if (systemCode(error) === "ENOENT" || hasCode(error, "not-found"))
        throw new DavitError("not-found", `Cannot read ${descriptor.digest}: it is not in ${this.root}`, {
          cause: error,
        });
      throw systemError(`Cannot read ${descriptor.digest}`, error);
    }
  }

  /** Where an upload of several requests is kept. */
  uploadPath(id: string): string {
    return join(this.root, "uploads", id);
  }

  /** Resolves when the directories are there. */
  ready(): Promise<void> {
    return this.#ready.get(() => this.#prepare());
  }

  /** Starts a blob; the algorithm matters only to callers that expect a sha512. */
  async writer(algorithm: "sha256" | "sha512" = "sha256"): Promise<PoolWriter> {
    await this.ready();
    const name = `${ownerText(thisProcess())}.${crypto.randomUUID()}`;
    const path = join(this.root, "ingest", name);
    try {
      const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
      const file = await open(path, flags, 0o400);
      return new PoolWriter((digest) => this.path(digest), path, file, new Digester(algorithm));
    } catch (error) {
      throw systemError(`Cannot write to ${this.root}`, error);
    }
  }

  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  async #prepare(): Promise<void> {
    try {
      for (const dir of ["ingest", "uploads", "blobs/sha256", "blobs/sha512"])
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
