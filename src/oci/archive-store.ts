import { type ByteStream, type Bytes, collect, decode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { openNamed } from "../plain-file.ts";
import type { Skippable } from "../tar/block-reader.ts";
import { bad } from "../tar/header.ts";
import { readTar } from "../tar/read.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, isDigest } from "./digest.ts";
import { LayoutReferrers } from "./layout-referrers.ts";
import { REF_NAME } from "./layout-store.ts";
import { MAX_MANIFEST, parseLayoutIndex } from "./manifest.ts";
import type { ReadStore, Referrers } from "./store.ts";
import { verified } from "./verify.ts";

/** An uncompressed OCI layout archive in a file: its headers are read once, its blobs where they lie. */
export class ArchiveStore implements ReadStore, Referrers {
  readonly #path: string;
  readonly #blobs: Map<string, { offset: number; size: number }>;
  /** The entries of its `index.json`. */
  readonly index: Descriptor[];
  readonly #referrers = new LayoutReferrers(this, async () => this.index);

  private constructor(
    path: string,
    blobs: Map<string, { offset: number; size: number }>,
    index: Descriptor[],
  ) {
    this.#path = path;
    this.#blobs = blobs;
    this.index = index;
  }

  static async open(path: string): Promise<ArchiveStore> {
    const store = await ArchiveStore.openLayout(path);
    if (!store) throw bad(`${path} has no index.json`);
    return store;
  }

  /** Undefined for an archive of another kind. */
  static async openLayout(path: string): Promise<ArchiveStore | undefined> {
    const blobs = new Map<string, { offset: number; size: number }>();
    let index: Descriptor[] | undefined;
    for await (const entry of readTar(new FileSource(path))) {
      const name = entry.name.replace(/^(\.\/)+/, "");
      const digest = /^blobs\/([^/]+)\/([^/]+)$/.exec(name)?.slice(1).join(":");
      if (digest !== undefined && entry.type === "file" && isDigest(digest)) blobs.set(digest, entry);
      if (name !== "index.json") continue;
      index = parseLayoutIndex(
        decode(await collect(entry.body, MAX_MANIFEST, name)),
        `index.json of ${path}`,
      ).manifests;
    }
    return index && new ArchiveStore(path, blobs, index);
  }

  async resolve(ref: string): Promise<Descriptor> {
    const found = this.index.find((entry) => entry.annotations?.[REF_NAME] === ref || entry.digest === ref);
    if (!found)
      throw new DavitError(
        "not-found",
        `Cannot resolve ${JSON.stringify(ref)}: no such name in ${this.#path}`,
      );
    return found;
  }

  referrers(subject: Digest): Promise<Descriptor[]> {
    return this.#referrers.of(subject);
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no"> {
    return this.#blobs.get(descriptor.digest)?.size === descriptor.size ? "yes" : "no";
  }

  async fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    const blob = this.#blobs.get(descriptor.digest);
    if (!blob)
      throw new DavitError("not-found", `Cannot read ${descriptor.digest}: it is not in ${this.#path}`);
    const bytes = Bun.file(this.#path)
      .slice(blob.offset + from, blob.offset + blob.size)
      .stream();
    return from === 0 ? verified(bytes, descriptor) : bytes;
  }
}

const PIECE = 64 * 1024;

/** A file that lets a tar reader jump over bodies. */
class FileSource implements Skippable {
  readonly #path: string;
  #position = 0;
  #size = 0;

  constructor(path: string) {
    this.#path = path;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Bytes> {
    const file = await openNamed(this.#path);
    try {
      this.#size = (await file.stat()).size;
      for (;;) {
        const { bytesRead, buffer } = await file.read(new Uint8Array(PIECE), 0, PIECE, this.#position);
        if (bytesRead === 0) return;
        this.#position += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await file.close();
    }
  }

  async skip(bytes: number): Promise<boolean> {
    this.#position += bytes;
    return this.#position <= this.#size;
  }
}
