import { type ByteStream, type Bytes, collect } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import type { BlobPool } from "../oci/blob-pool.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestAlgorithm, isDigest, parseDigest } from "../oci/digest.ts";
import { children, MAX_MANIFEST, parseManifest, referrerEntry } from "../oci/manifest.ts";
import { isManifestType } from "../oci/media-types.ts";
import { pushToPool } from "../oci/pool-push.ts";
import type { PoolWriter } from "../oci/pool-writer.ts";
import { type BlobWriter, type Content, contentOf, type Referrers, type Store } from "../oci/store.ts";
import { verified } from "../oci/verify.ts";
import type { Collector } from "./collector.ts";
import type { ContentLedger } from "./content-ledger.ts";
import { importLease } from "./lease-ledger.ts";

/** Between renewals of a lease, in milliseconds. */
const RENEWAL = 60 * 60 * 1000;

/**
 * One app's view of the rack's pool. Who may see a blob is asked of the ledger on
 * every read, never cached. The blob's file comes first and its row second, so
 * that a row never points at nothing.
 */
export class RackStore implements Store, Referrers {
  readonly #app: string;
  readonly #pool: BlobPool;
  readonly #ledger: ContentLedger;
  readonly #collector: Collector;
  readonly #lease: string | undefined;
  readonly #keep: { root?: boolean; sparse?: boolean };

  /** `keep` is for manifests that somebody pushes for their own sake. */
  constructor(
    app: string,
    collector: Collector,
    lease?: string,
    keep: { root?: boolean; sparse?: boolean } = {},
  ) {
    this.#app = app;
    this.#keep = keep;
    this.#collector = collector;
    this.#pool = collector.pool;
    this.#ledger = collector.ledger.content;
    this.#lease = lease;
  }

  async resolve(ref: string): Promise<Descriptor> {
    const row = isDigest(ref)
      ? await this.#ledger.manifest(this.#app, ref)
      : await this.#ledger.tag(this.#app, ref);
    if (!row)
      throw new DavitError(
        "not-found",
        `Cannot resolve ${JSON.stringify(ref)}: no such tag in app ${this.#app}`,
      );
    return { mediaType: row.media_type, digest: parseDigest(row.digest), size: row.size };
  }

  async exists(descriptor: Descriptor): Promise<"yes" | "no"> {
    return (await this.#ledger.has(this.#app, descriptor, this.#lease)) ? "yes" : "no";
  }

  async fetch(descriptor: Descriptor, from = 0): Promise<ByteStream> {
    if (!(await this.#ledger.has(this.#app, descriptor, this.#lease)))
      throw new DavitError("not-found", `Cannot read ${descriptor.digest}: it is not in app ${this.#app}`);
    return await this.#pool.read(descriptor, from);
  }

  /** A blob that the pool has is read and verified all the same: the bytes are the proof of a right to it. */
  async push(descriptor: Descriptor, content: Content): Promise<void> {
    if ((await this.exists(descriptor)) === "yes") return;
    await this.#leased(async (lease) => {
      if (isManifestType(descriptor.mediaType)) return await this.#pushManifest(descriptor, content, lease);
      await this.#pushBytes(descriptor, content, lease);
      await this.#ledger.add(this.#app, descriptor, lease);
    });
  }

  async #pushManifest(descriptor: Descriptor, content: Content, lease: string): Promise<void> {
    const bytes = await collect(verified(await content.open(0), descriptor), MAX_MANIFEST, descriptor.digest);
    const manifest = parseManifest(bytes, descriptor);
    await this.#pushBytes(descriptor, contentOf(bytes), lease);
    const { subject } = manifest;
    const entry = subject && referrerEntry(descriptor, bytes);
    const record = { descriptor, children: children(manifest), subject, entry };
    await this.#ledger.addManifest(this.#app, { ...record, ...this.#keep }, lease);
  }

  async #pushBytes(descriptor: Descriptor, content: Content, lease: string): Promise<void> {
    await this.#claim(descriptor.digest, lease);
    await pushToPool(this.#pool, descriptor, content);
  }

  async referrers(subject: Digest): Promise<Descriptor[]> {
    return await this.#ledger.referrers(this.#app, subject);
  }

  async writer(wanted?: Descriptor): Promise<BlobWriter> {
    const writer = await this.#pool.writer(wanted && digestAlgorithm(wanted.digest));
    return new RackWriter(writer, async (mediaType, digest, expected) =>
      this.#leased(async (lease) => {
        await this.#claim(digest, lease).catch(async (error: unknown) => {
          await writer.abort();
          throw error;
        });
        const descriptor = await writer.commit(mediaType, expected);
        await this.#ledger.add(this.#app, descriptor, lease);
        return descriptor;
      }),
    );
  }

  /** Records a blob that `commit` brings into the pool by its own means. */
  async take(expected: Descriptor, commit: () => Promise<Descriptor>): Promise<Descriptor> {
    return await this.#leased(async (lease) => {
      await this.#claim(expected.digest, lease);
      const descriptor = await commit();
      await this.#ledger.add(this.#app, descriptor, lease);
      return descriptor;
    });
  }

  async tag(descriptor: Descriptor, ref: string): Promise<void> {
    await this.#ledger.setTag(this.#app, ref, descriptor);
  }

  /** Gives the app a blob of the pool whose content it has proved to have, by other means than sending it. */
  async adopt(descriptor: Descriptor): Promise<boolean> {
    return await this.#leased((lease) => this.#ledger.adopt(this.#app, descriptor, lease));
  }

  async lease<T>(work: (store: RackStore) => Promise<T>): Promise<T> {
    return await this.#leased((lease) => work(this.#under(lease)));
  }

  /** A lease for an import: what came before a cut stays for a day, so that the next try finds it. */
  async importLease<T>(work: (store: RackStore) => Promise<T>): Promise<T> {
    const before = await this.#ledger.leases.cut(this.#app);
    const result = await this.#newLease(importLease(this.#app), (lease) => work(this.#under(lease)));
    for (const lease of before) await this.#endLease(lease);
    if (before.length > 0) await this.#collector.run();
    return result;
  }

  #under(lease: string): RackStore {
    return new RackStore(this.#app, this.#collector, lease, this.#keep);
  }

  async #leased<T>(work: (lease: string) => Promise<T>): Promise<T> {
    return this.#lease === undefined ? await this.#newLease("", work) : await work(this.#lease);
  }

  async #newLease<T>(prefix: string, work: (lease: string) => Promise<T>): Promise<T> {
    const lease = `${prefix}${crypto.randomUUID()}`;
    await this.#ledger.leases.open(lease);
    const renewal = setInterval(() => void this.#ledger.leases.renew(lease).catch(() => undefined), RENEWAL);
    renewal.unref();
    try {
      const result = await work(lease);
      await this.#endLease(lease);
      return result;
    } catch (error) {
      // What went wrong first is what the user must hear of, even if the disk is too full to tidy up.
      const end = prefix !== "" && isCut(error) ? this.#ledger.leases.keep(lease) : this.#endLease(lease);
      await end.catch(() => undefined);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  async #endLease(lease: string): Promise<void> {
    if ((await this.#ledger.leases.close(lease)) > 0) await this.#collector.run();
  }

  /** While a collector is deleting this very blob, the deletion is seen through first. */
  async #claim(digest: Digest, lease: string): Promise<void> {
    while (!(await this.#ledger.claim(lease, digest))) await this.#collector.run();
  }
}

/** Whether what was stored before an error is good, and worth keeping. */
function isCut(error: unknown): boolean {
  return hasCode(error, "cut-archive", "interrupted", "unavailable");
}

class RackWriter implements BlobWriter {
  readonly #writer: PoolWriter;
  readonly #commit: (mediaType: string, digest: Digest, expected?: Descriptor) => Promise<Descriptor>;

  constructor(
    writer: PoolWriter,
    commit: (mediaType: string, digest: Digest, expected?: Descriptor) => Promise<Descriptor>,
  ) {
    this.#writer = writer;
    this.#commit = commit;
  }

  get offset(): number {
    return this.#writer.offset;
  }

  write(chunk: Bytes): Promise<void> {
    return this.#writer.write(chunk);
  }

  commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    return this.#commit(mediaType, this.#writer.digest(), expected);
  }

  abort(): Promise<void> {
    return this.#writer.abort();
  }
}
