import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { type ByteStream, type Bytes, encode } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import { headerBlocks } from "../tar/write.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, Digester, digestAlgorithm, digestHex } from "./digest.ts";
import { LAYOUT_FILE, REF_NAME } from "./layout-store.ts";
import { renderManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { pushThrough } from "./push-through.ts";
import type { BlobWriter, Content, Store } from "./store.ts";
import { verified } from "./verify.ts";

const BLOCK = 512;
const PIECE = 512 * 1024;

/**
 * An OCI layout archive that is written in the order its content comes, for
 * sources that cannot be asked beforehand. A header goes in when its size is
 * known, the index at the end; the file has its name only when it is whole.
 */
export class ArchiveFileStore implements Store {
  readonly #path: string;
  readonly #part: string;
  readonly #file: FileHandle;
  readonly #blobs = new Map<Digest, { offset: number; size: number }>();
  readonly #tags = new Map<string, Descriptor>();
  #end = 0;
  #turn: Promise<void> = Promise.resolve();

  private constructor(path: string, part: string, file: FileHandle) {
    this.#path = path;
    this.#part = part;
    this.#file = file;
  }

  static async create(path: string): Promise<ArchiveFileStore> {
    const part = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
    try {
      return new ArchiveFileStore(path, part, await open(part, "wx+", 0o644));
    } catch (error) {
      throw systemError(`Cannot write ${path}`, error);
    }
  }

  async resolve(ref: string): Promise<Descriptor> {
    const found = this.#tags.get(ref);
    if (!found)
      throw new DavitError(
        "not-found",
        `Cannot resolve ${JSON.stringify(ref)}: no such name in ${this.#path}`,
      );
    return found;
  }

  async exists({ digest, size }: Descriptor): Promise<"yes" | "no"> {
    return this.#blobs.get(digest)?.size === size ? "yes" : "no";
  }

  async fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    const blob = this.#blobs.get(descriptor.digest);
    if (!blob)
      throw new DavitError("not-found", `Cannot read ${descriptor.digest}: it is not in ${this.#path}`);
    const bytes = this.#read(blob.offset + from, blob.offset + blob.size);
    return from === 0 ? verified(bytes, descriptor) : bytes;
  }

  async *#read(from: number, to: number): AsyncGenerator<Bytes> {
    for (let at = from; at < to; ) {
      const piece = new Uint8Array(Math.min(PIECE, to - at));
      const { bytesRead } = await this.#file.read(piece, 0, piece.byteLength, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  }

  async push(descriptor: Descriptor, content: Content): Promise<void> {
    if ((await this.exists(descriptor)) === "yes") return;
    await pushThrough(await this.writer(descriptor), descriptor, content);
  }

  /** One at a time: what follows in the file begins where this one ends. */
  async writer(expected?: Descriptor): Promise<BlobWriter> {
    const before = this.#turn;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#turn = promise;
    await before;
    const digester = new Digester(expected ? digestAlgorithm(expected.digest) : "sha256");
    return new ArchiveWriter(this, digester, resolve);
  }

  /** Writes part of the body of the entry that is being written. */
  async writeBody(bytes: Uint8Array, at: number): Promise<void> {
    await this.#write(bytes, this.#end + BLOCK + at);
  }

  /** Gives the body that was just written its header, if nothing of the same digest is there. */
  async seal(digest: Digest, size: number): Promise<void> {
    if (this.#blobs.has(digest)) return;
    const name = `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
    const header = await headerBlocks({ name, type: "file", size });
    if (header.byteLength !== BLOCK)
      throw new DavitError(
        "unsupported",
        `Cannot write ${digest}: it is larger than an archive written in one pass can hold`,
      );
    await this.#write(header, this.#end);
    this.#blobs.set(digest, { offset: this.#end + BLOCK, size });
    this.#end += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }

  async #write(bytes: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < bytes.byteLength; )
      done += (await this.#file.write(bytes, done, bytes.byteLength - done, at + done)).bytesWritten;
  }

  async tag(descriptor: Descriptor, ref: string): Promise<void> {
    if ((await this.exists(descriptor)) !== "yes")
      throw new DavitError("not-found", `Cannot tag ${descriptor.digest}: it is not in ${this.#path}`);
    this.#tags.set(ref, descriptor);
  }

  lease<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return work(this);
  }

  /** Writes what names the rest, and gives the file its name. */
  async finish(): Promise<void> {
    const manifests = [...this.#tags].map(([ref, { mediaType, digest, size }]) => {
      return { mediaType, digest, size, annotations: { [REF_NAME]: ref } };
    });
    const index = renderManifest({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
    await this.#entry("oci-layout", encode(LAYOUT_FILE));
    await this.#entry("index.json", index);
    await this.#file.truncate(this.#end + 2 * BLOCK);
    await this.#file.close();
    await rename(this.#part, this.#path);
  }

  async #entry(name: string, bytes: Bytes): Promise<void> {
    await this.#write(await headerBlocks({ name, type: "file", size: bytes.byteLength }), this.#end);
    await this.#write(bytes, this.#end + BLOCK);
    this.#end += BLOCK + Math.ceil(bytes.byteLength / BLOCK) * BLOCK;
  }

  async abort(): Promise<void> {
    await this.#file.close().catch(() => undefined);
    await rm(this.#part, { force: true });
  }
}

class ArchiveWriter implements BlobWriter {
  readonly #store: ArchiveFileStore;
  readonly #digester: Digester;
  readonly #release: () => void;
  offset = 0;

  constructor(store: ArchiveFileStore, digester: Digester, release: () => void) {
    this.#store = store;
    this.#digester = digester;
    this.#release = release;
  }

  async write(chunk: Bytes): Promise<void> {
    this.#digester.update(chunk);
    await this.#store.writeBody(chunk, this.offset);
    this.offset += chunk.byteLength;
  }

  async commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    try {
      const actual: Descriptor = { mediaType, digest: this.#digester.digest(), size: this.offset };
      if (expected && (expected.digest !== actual.digest || expected.size !== actual.size))
        throw new DavitError(
          "mismatch",
          `Cannot store ${expected.digest}: got ${actual.digest} (${actual.size} bytes)`,
        );
      await this.#store.seal(actual.digest, actual.size);
      return actual;
    } finally {
      this.#release();
    }
  }

  async abort(): Promise<void> {
    this.#release();
  }
}
