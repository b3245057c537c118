import { open, rm, stat } from "node:fs/promises";
import type { ByteStream } from "../bytes.ts";
import { systemCode, systemError } from "../errors.ts";
import type { BlobPool } from "./blob-pool.ts";
import type { Descriptor } from "./descriptor.ts";
import { Digester, digestAlgorithm } from "./digest.ts";
import { PoolWriter } from "./pool-writer.ts";

const PIECE = 1024 * 1024;

/**
 * A blob that comes in several requests. Its file is its state: whoever opens it
 * again, after a crash too, goes on where it ends.
 */
export class PoolUpload {
  readonly #pool: BlobPool;
  readonly #path: string;
  #digester: Digester;
  /** Bytes in the file. */
  offset: number;

  private constructor(pool: BlobPool, path: string, digester: Digester, offset: number) {
    this.#pool = pool;
    this.#path = path;
    this.#digester = digester;
    this.offset = offset;
  }

  static async open(pool: BlobPool, id: string): Promise<PoolUpload> {
    const path = pool.uploadPath(id);
    const size = await sizeOf(path);
    const upload = new PoolUpload(pool, path, new Digester(), size);
    if (size > 0) upload.#digester = await upload.#rehash("sha256");
    return upload;
  }

  /** Takes what a request brings; what has come when the link breaks is kept. */
  async append(stream: ByteStream): Promise<void> {
    const writer = await this.#writer();
    try {
      for await (const chunk of stream) await writer.write(chunk);
    } finally {
      await writer.pause();
      this.offset = writer.offset;
    }
  }

  /** Puts the blob in its place if it is the one expected; else nothing is left of it. */
  async commit(expected: Descriptor): Promise<Descriptor> {
    const algorithm = digestAlgorithm(expected.digest);
    if (algorithm !== "sha256") this.#digester = await this.#rehash(algorithm);
    return await (await this.#writer()).commit(expected.mediaType, { ...expected, size: this.offset });
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async #writer(): Promise<PoolWriter> {
    await this.#pool.ready();
    try {
      const file = await open(this.#path, "a", 0o600);
      return new PoolWriter(
        (digest) => this.#pool.path(digest),
        this.#path,
        file,
        this.#digester,
        this.offset,
      );
    } catch (error) {
      throw systemError(`Cannot write to ${this.#pool.root}`, error);
    }
  }

  async #rehash(algorithm: "sha256" | "sha512"): Promise<Digester> {
    const digester = new Digester(algorithm);
    if (this.offset === 0) return digester;
    const file = await open(this.#path, "r");
    try {
      const buffer = new Uint8Array(PIECE);
      for (let at = 0; at < this.offset; ) {
        const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, at);
        if (bytesRead === 0) break;
        digester.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
    return digester;
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return 0;
    throw systemError("Cannot read an upload", error);
  }
}
