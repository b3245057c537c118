import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type ByteStream, decode } from "../bytes.ts";
import { DavitError, hasCode, systemError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { readNamed } from "../plain-file.ts";
import { replaceFile } from "../write-file.ts";
import { BlobPool } from "./blob-pool.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, digestAlgorithm } from "./digest.ts";
import { LayoutReferrers } from "./layout-referrers.ts";
import { parseLayoutIndex } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { pushToPool } from "./pool-push.ts";
import type { BlobWriter, Content, Referrers, Store } from "./store.ts";

/** Names an entry of `index.json`: https://github.com/opencontainers/image-spec/blob/main/annotations.md */
export const REF_NAME = "org.opencontainers.image.ref.name";

/** The largest `index.json` that is read, in bytes: some hundred thousand names. */
export const MAX_INDEX = 64 * 1024 * 1024;

/** The content of every `oci-layout` file. */
export const LAYOUT_FILE = '{"imageLayoutVersion":"1.0.0"}';

/**
 * An OCI image layout directory: https://github.com/opencontainers/image-spec/blob/main/image-layout.md.
 * `index.json` is the truth about tags; writers take turns under a lock.
 */
export class LayoutStore implements Store, Referrers {
  readonly #root: string;
  readonly #pool: BlobPool;
  readonly #referrers = new LayoutReferrers(this, () => this.index());

  constructor(root: string) {
    this.#root = root;
    this.#pool = new BlobPool(root);
  }

  async resolve(ref: string): Promise<Descriptor> {
    const found = (await this.index()).find(
      (entry) => entry.annotations?.[REF_NAME] === ref || entry.digest === ref,
    );
    if (!found)
      throw new DavitError(
        "not-found",
        `Cannot resolve ${JSON.stringify(ref)}: no such name in ${this.#root}`,
      );
    return found;
  }

  referrers(subject: Digest): Promise<Descriptor[]> {
    return this.#referrers.of(subject);
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no"> {
    return (await this.#pool.has(descriptor)) ? "yes" : "no";
  }

  fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    return this.#pool.read(descriptor, from);
  }

  async push(descriptor: Descriptor, content: Content): Promise<void> {
    if (await this.#pool.has(descriptor)) return;
    await pushToPool(this.#pool, descriptor, content);
  }

  writer(expected?: Descriptor): Promise<BlobWriter> {
    return this.#pool.writer(expected && digestAlgorithm(expected.digest));
  }

  async tag(descriptor: Descriptor, ref: string): Promise<void> {
    if (!(await this.#pool.has(descriptor)))
      throw new DavitError("not-found", `Cannot tag ${descriptor.digest}: it is not in ${this.#root}`);
    await mkdir(this.#root, { recursive: true });
    using _ = await FileLock.take(join(this.#root, "lock.db"), `change the tags of ${this.#root}`);
    const others = (await this.index()).filter((entry) => entry.annotations?.[REF_NAME] !== ref);
    const entry = { ...descriptor, annotations: { ...descriptor.annotations, [REF_NAME]: ref } };
    await this.#write([...others, entry]);
  }

  /** Lists a manifest that has no name: one that refers to another. */
  async list(descriptor: Descriptor): Promise<void> {
    await mkdir(this.#root, { recursive: true });
    using _ = await FileLock.take(join(this.#root, "lock.db"), `change ${this.#root}`);
    const index = await this.index();
    if (index.every(({ digest }) => digest !== descriptor.digest)) await this.#write([...index, descriptor]);
  }

  /** Nothing is ever collected here by itself. */
  lease<T>(work: (store: Store) => Promise<T>): Promise<T> {
    return work(this);
  }

  /** The entries of its `index.json`. */
  async index(): Promise<Descriptor[]> {
    const path = join(this.#root, "index.json");
    try {
      return parseLayoutIndex(decode(await readNamed(path, MAX_INDEX)), path).manifests;
    } catch (error) {
      if (hasCode(error, "not-found")) return [];
      throw systemError(`Cannot read ${path}`, error);
    }
  }

  async #write(manifests: Descriptor[]): Promise<void> {
    await writeFile(join(this.#root, "oci-layout"), LAYOUT_FILE);
    await replaceFile(
      join(this.#root, "index.json"),
      JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }),
    );
  }
}
