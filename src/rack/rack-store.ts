import { type ByteStream, collect } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest, parseDigest } from "../oci/digest.ts";
import { children, MAX_MANIFEST, parseManifest, referrerEntry } from "../oci/manifest.ts";
import { isManifestType } from "../oci/media-types.ts";
import { type BlobWriter, type Content, contentOf, type Referrers, type Store } from "../oci/store.ts";
import { verified } from "../oci/verify.ts";
import { Carrier } from "./carrier.ts";
import type { Collector } from "./collector.ts";
import type { ContentLedger } from "./content-ledger.ts";
import { Leasing } from "./leasing.ts";
import type { Place } from "./place.ts";
import type { Member, PlaceLedger } from "./place-ledger.ts";
import type { Places } from "./places.ts";
import { RackWriter } from "./rack-writer.ts";

/**
 * Proof that its holder may read a blob. Only an app's store makes one, for a blob that the app has:
 * naming a digest proves nothing.
 */
export class Readable {
  readonly descriptor: Descriptor;

  private constructor(descriptor: Descriptor) {
    this.descriptor = descriptor;
  }

  /** Undefined where the app has no such blob. The caller has checked that its visitor may read the app. */
  static async find(store: RackStore, descriptor: Descriptor): Promise<Readable | undefined> {
    return (await store.exists(descriptor)) === "yes" ? new Readable(descriptor) : undefined;
  }
}

/**
 * One app's view of the rack's content. Who may see a blob, and in which store it is, is
 * asked of the ledger on every read, never cached. The blob comes first and its row
 * second, so that a row never points at nothing.
 */
export class RackStore implements Store, Referrers {
  readonly #app: string;
  readonly #places: Places;
  readonly #ledger: ContentLedger;
  readonly #where: PlaceLedger;
  readonly #collector: Collector;
  readonly #carrier: Carrier;
  readonly #leasing: Leasing;
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
    this.#places = collector.places;
    this.#where = collector.ledger.places;
    this.#ledger = collector.ledger.content;
    this.#carrier = new Carrier(app, collector);
    this.#leasing = new Leasing(collector.ledger.content.leases);
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
    if (!(await this.#ledger.has(this.#app, descriptor, this.#lease))) throw this.#lacks(descriptor);
    for (let before: string | undefined; ; ) {
      const store = await this.#where.storeOf(this.#app, descriptor.digest);
      if (store === undefined) throw this.#lacks(descriptor);
      try {
        return await (await this.#places.named(store)).read(this.#app, descriptor, from);
      } catch (error) {
        // It may have moved between our question and our look.
        if (!hasCode(error, "not-found") || store === before) throw error;
        before = store;
      }
    }
  }

  #lacks({ digest }: Descriptor): DavitError {
    return new DavitError("not-found", `Cannot read ${digest}: it is not in app ${this.#app}`);
  }

  /** A blob that the rack has is read and verified all the same: the bytes are the proof of a right to it. */
  async push(descriptor: Descriptor, content: Content): Promise<void> {
    if ((await this.exists(descriptor)) === "yes" && (await this.#isRecorded(descriptor))) return;
    await this.#leased(async (lease) => {
      const place = await this.#places.current();
      if (isManifestType(descriptor.mediaType))
        return await this.#pushManifest(place, descriptor, content, lease);
      await this.#pushBytes(place, descriptor, content, lease);
      await this.#ledger.add(this.#app, descriptor, lease, place.name);
    });
  }

  /** A manifest is recorded as one, and anew when somebody pushes it for its own sake: it may have been an index's only. */
  async #isRecorded({ mediaType, digest }: Descriptor): Promise<boolean> {
    if (!isManifestType(mediaType)) return true;
    return !this.#keep.root && (await this.#ledger.manifest(this.#app, digest)) !== undefined;
  }

  async #pushManifest(place: Place, descriptor: Descriptor, content: Content, lease: string): Promise<void> {
    const bytes = await collect(verified(await content.open(0), descriptor), MAX_MANIFEST, descriptor.digest);
    const manifest = parseManifest(bytes, descriptor);
    const below = children(manifest);
    await this.#carrier.gather(below, place, lease);
    await this.#pushBytes(place, descriptor, contentOf(bytes), lease);
    const { subject } = manifest;
    const entry = subject && referrerEntry(descriptor, bytes);
    const record = { descriptor, children: below, subject, entry };
    await this.#ledger.addManifest(this.#app, { ...record, ...this.#keep }, lease, place.name);
  }

  async #pushBytes(place: Place, descriptor: Descriptor, content: Content, lease: string): Promise<void> {
    await this.#carrier.claim(descriptor.digest, lease, place);
    await place.push(this.#app, descriptor, content);
  }

  /** Brings a blob that the app has in another store, and all that it names, to where new content goes. */
  async move(member: Member): Promise<void> {
    const place = await this.#places.current();
    await this.#leased((lease) => this.#carrier.move(member, place, lease));
  }

  /** All referrers of a digest. Throws `invalid` where there are more than one page. */
  async referrers(subject: Digest): Promise<Descriptor[]> {
    const found = await this.#ledger.referrers(this.#app, subject);
    const last = found.at(-1)?.digest;
    if (last !== undefined && (await this.#ledger.referrers(this.#app, subject, last)).length > 0)
      throw new DavitError("invalid", `Cannot read what refers to ${subject}: it is too much`);
    return found;
  }

  async writer(wanted?: Descriptor): Promise<BlobWriter> {
    const place = await this.#places.current();
    const writer = await place.writer(this.#app, wanted);
    return new RackWriter(writer, async (mediaType, digest, expected) =>
      this.#leased(async (lease) => {
        await this.#carrier.claim(digest, lease, place).catch(async (error: unknown) => {
          await writer.abort();
          throw error;
        });
        const descriptor = await writer.commit(mediaType, expected);
        await this.#ledger.add(this.#app, descriptor, lease, place.name);
        return descriptor;
      }),
    );
  }

  /** Records a blob that `commit` brings into a place by its own means. */
  async take(place: Place, expected: Descriptor, commit: () => Promise<Descriptor>): Promise<Descriptor> {
    return await this.#leased(async (lease) => {
      await this.#carrier.claim(expected.digest, lease, place);
      const descriptor = await commit();
      await this.#ledger.add(this.#app, descriptor, lease, place.name);
      return descriptor;
    });
  }

  /** Names a manifest, where it lies and for us. */
  async tag(descriptor: Descriptor, ref: string): Promise<void> {
    await (await this.#placeOf(descriptor))?.tag(this.#app, descriptor, ref);
    await this.#ledger.setTag(this.#app, ref, descriptor);
  }

  /** Gives a build's manifests their names where they lie, before the ledger says that it is complete. */
  async nameBuild(id: string, index: Descriptor, images: ReadonlyMap<string, Descriptor>): Promise<void> {
    for (const [service, image] of images)
      await (await this.#placeOf(image))?.tag(this.#app, image, `${service}.${id}`);
    await (await this.#placeOf(index))?.tag(this.#app, index, id);
  }

  /** A blob that no manifest names, such as a file or a log, is to last. */
  async keep(descriptor: Descriptor): Promise<void> {
    await (await this.#placeOf(descriptor))?.keep(this.#app, descriptor);
  }

  async #placeOf({ digest }: Descriptor): Promise<Place | undefined> {
    const store = await this.#where.storeOf(this.#app, digest);
    return store === undefined ? undefined : await this.#places.named(store);
  }

  /** Gives the app a blob that another app has and the visitor may read there: the bytes need not be sent. */
  async adopt({ descriptor }: Readable): Promise<boolean> {
    return await this.#leased(async (lease) => {
      const place = await this.#places.current();
      if (place === this.#places.own && (await this.#ledger.adopt(this.#app, descriptor, lease))) return true;
      const holder = await this.#where.holder(descriptor.digest, place.name);
      if (holder?.descriptor.size !== descriptor.size) return false;
      if (holder.app === this.#app) return await this.#ledger.has(this.#app, descriptor, lease);
      if (!(await this.#ledger.claim(lease, this.#app, descriptor.digest, place.name))) return false;
      await this.#carrier.bring(holder, place);
      await this.#ledger.add(this.#app, descriptor, lease, place.name);
      return true;
    });
  }

  async lease<T>(work: (store: RackStore) => Promise<T>): Promise<T> {
    return await this.#leased((lease) => work(this.#under(lease)));
  }

  /** A lease for an import: what came before a cut stays for a day, so that the next try finds it. */
  async importLease<T>(work: (store: RackStore) => Promise<T>): Promise<T> {
    return await this.#leasing.runImport(this.#app, (lease) => work(this.#under(lease)));
  }

  #under(lease: string): RackStore {
    return new RackStore(this.#app, this.#collector, lease, this.#keep);
  }

  async #leased<T>(work: (lease: string) => Promise<T>): Promise<T> {
    return this.#lease === undefined ? await this.#leasing.run(work) : await work(this.#lease);
  }
}
