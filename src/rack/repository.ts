import { type ByteStream, type Bytes, collect } from "../bytes.ts";
import { hasCode } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { MAX_MANIFEST } from "../oci/manifest.ts";
import { contentOf } from "../oci/store.ts";
import type { Collector } from "./collector.ts";
import type { Ledger } from "./ledger.ts";
import type { Upload } from "./place.ts";
import { OWN } from "./place-ledger.ts";
import { RackStore, Readable } from "./rack-store.ts";
import type { RegistryLedger } from "./registry-ledger.ts";
import type { Uploads } from "./uploads.ts";

/** Uploads one principal may have under way. */
const MAX_UPLOADS = 100;
const UNTYPED = "application/octet-stream";
export interface RegistryParts {
  ledger: Ledger;
  collector: Collector;
  /** Whether a repository comes into being by the first push to it. */
  createsRepositories: boolean;
  /** Children of an index may be missing. */
  sparse: boolean;
  /** Told after every change of names. */
  changed(): Promise<void>;
}

/** What the repositories of one registry share. */
interface Shared {
  parts: RegistryParts;
  ledger: RegistryLedger;
  uploads: Uploads;
}

/** One app's content, as a registry's visitors see it. */
export class Repository {
  readonly name: string;
  readonly #registry: Shared;

  constructor(registry: Shared, name: string) {
    this.#registry = registry;
    this.name = name;
  }

  get #ledger(): RegistryLedger {
    return this.#registry.ledger;
  }

  /** What visitors store through it stays for a day at least, and their manifests until they are deleted. */
  async #store(root = true): Promise<RackStore> {
    const { collector, sparse } = this.#registry.parts;
    return new RackStore(this.name, collector, await this.#ledger.lease(), { root, sparse });
  }

  /** A blob's size. Who is told that it is here may count on it for a day. */
  async blob(digest: Digest, pin: boolean): Promise<number | undefined> {
    const size = await this.#ledger.blob(this.name, digest);
    if (size === undefined || !pin) return size;
    const pinned = await (await this.#store()).exists({ mediaType: UNTYPED, digest, size });
    return pinned === "yes" ? size : undefined;
  }

  /** The file of a blob of the repository; undefined where it lies outside. */
  async path(digest: Digest): Promise<string | undefined> {
    const { places, ledger } = this.#registry.parts.collector;
    const store = await ledger.places.storeOf(this.name, digest);
    return store === OWN ? places.own.pool.path(digest) : undefined;
  }

  /** A blob's bytes, wherever it lies. */
  async read(descriptor: Descriptor, from: number): Promise<ByteStream> {
    return await new RackStore(this.name, this.#registry.parts.collector).fetch(descriptor, from);
  }

  /** A manifest by tag or digest, whole and verified. */
  async manifest(ref: string, pin: boolean): Promise<{ descriptor: Descriptor; bytes: Bytes } | undefined> {
    // Only a promise pins; what is merely read may be deleted the moment after.
    const store = pin ? await this.#store() : new RackStore(this.name, this.#registry.parts.collector);
    try {
      const descriptor = await store.resolve(ref);
      if (pin && (await store.exists(descriptor)) !== "yes") return undefined;
      const bytes = await collect(
        await store.fetch(descriptor),
        MAX_MANIFEST,
        `manifest ${descriptor.digest}`,
      );
      return { descriptor, bytes };
    } catch (error) {
      if (hasCode(error, "not-found")) return undefined;
      throw error;
    }
  }

  /** Stores a manifest, with its names. One that is staged belongs to a build to come, and goes after a day without it. */
  async putManifest(descriptor: Descriptor, bytes: Bytes, tags: string[], staged = false): Promise<void> {
    const store = await this.#store(!staged);
    await store.push(descriptor, contentOf(bytes));
    for (const tag of tags) await store.tag(descriptor, tag);
    await this.#registry.parts.changed();
  }

  async tags(after: string, limit: number): Promise<string[]> {
    return await this.#ledger.tags(this.name, after, limit);
  }

  /** A page of what refers to a digest, beginning after the digest `after`. */
  async referrers(digest: Digest, after: string): Promise<Descriptor[]> {
    return await this.#registry.parts.ledger.content.referrers(this.name, digest, after);
  }

  async deleteTag(tag: string): Promise<boolean> {
    const done = await this.#ledger.deleteTag(this.name, tag);
    if (done) await this.#registry.parts.changed();
    return done;
  }

  async deleteManifest(digest: Digest): Promise<boolean> {
    const done = await this.#ledger.deleteManifest(this.name, digest);
    if (done) await this.#registry.parts.changed();
    return done;
  }

  async deleteBlob(digest: Digest): Promise<"deleted" | "absent" | Digest> {
    return await this.#ledger.deleteBlob(this.name, digest);
  }

  /** Proof that this repository has a blob, for a visitor who may read it; undefined where it has none. */
  async readable(digest: Digest): Promise<Readable | undefined> {
    const size = await this.#ledger.blob(this.name, digest);
    if (size === undefined) return undefined;
    const store = new RackStore(this.name, this.#registry.parts.collector);
    return await Readable.find(store, { mediaType: UNTYPED, digest, size });
  }

  /** Takes a blob of another repository, without its bytes. */
  async mount(blob: Readable): Promise<boolean> {
    return await (await this.#store()).adopt(blob);
  }

  /** The id of a new upload; undefined when this principal has too many. */
  async beginUpload(principal: string): Promise<string | undefined> {
    const id = crypto.randomUUID();
    const { name: store } = await this.#registry.parts.collector.places.current();
    const begun = await this.#ledger.beginUpload({ id, app: this.name, principal, store }, MAX_UPLOADS);
    return begun ? id : undefined;
  }

  /** Runs `work` on an upload, alone. Undefined: there is no such upload here, for this principal. */
  async withUpload<T>(
    id: string,
    principal: string,
    work: (upload: Upload) => Promise<T>,
  ): Promise<T | undefined> {
    const find = () => this.#ledger.upload(id, this.name, principal);
    const row = await find();
    if (!row) return undefined;
    return await this.#registry.uploads.alone(row, async (upload) =>
      // The request before this one may have ended the upload.
      (await find()) ? await work(upload) : undefined,
    );
  }

  /** Takes bytes in; a disk that is full gets its space back at once. */
  async append(id: string, upload: Upload, stream: ByteStream): Promise<void> {
    try {
      await upload.append(stream);
    } catch (error) {
      if (hasCode(error, "no-space")) await this.endUpload(id, upload);
      throw error;
    }
  }

  /** Puts an upload in its place as a blob of the repository. Whatever comes of it, the upload is over. */
  async commitUpload(id: string, upload: Upload, digest: Digest): Promise<Descriptor> {
    const expected = { mediaType: UNTYPED, digest, size: upload.offset };
    try {
      const { places, ledger } = this.#registry.parts.collector;
      const place = await places.named(await ledger.registry.uploadStore(id));
      return await (await this.#store()).take(place, expected, () => upload.commit(expected));
    } finally {
      await this.endUpload(id, upload);
    }
  }

  async endUpload(id: string, upload: Upload): Promise<void> {
    this.#registry.uploads.close(id);
    await this.#ledger.endUpload(id);
    await upload.remove();
  }
}
