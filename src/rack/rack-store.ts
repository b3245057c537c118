import { type ByteStream, type Bytes, collect } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { eachOf } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, isDigest, parseDigest } from "../oci/digest.ts";
import { children, MAX_MANIFEST, parseManifest, referrerEntry } from "../oci/manifest.ts";
import { isManifestType } from "../oci/media-types.ts";
import { type BlobWriter, type Content, contentOf, type Referrers, type Store } from "../oci/store.ts";
import { verified } from "../oci/verify.ts";
import type { Collector } from "./collector.ts";
import type { ContentLedger } from "./content-ledger.ts";
import { importLease } from "./lease-ledger.ts";
import type { Place, PlaceWriter } from "./place.ts";
import type { Member, PlaceLedger } from "./place-ledger.ts";
import type { Places } from "./places.ts";

/** Between renewals of a lease, in milliseconds. */
const RENEWAL = 60 * 60 * 1000;
/** Blobs of one manifest that move at once. */
const WIDTH = 3;
/** How often a blob that is being deleted is waited for, and how long, in milliseconds. */
const CLAIMS = 20;
const PAUSE = 250;

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
    await this.#gather(below, place, lease);
    await this.#pushBytes(place, descriptor, contentOf(bytes), lease);
    const { subject } = manifest;
    const entry = subject && referrerEntry(descriptor, bytes);
    const record = { descriptor, children: below, subject, entry };
    await this.#ledger.addManifest(this.#app, { ...record, ...this.#keep }, lease, place.name);
  }

  async #pushBytes(place: Place, descriptor: Descriptor, content: Content, lease: string): Promise<void> {
    await this.#claim(descriptor.digest, lease, place);
    await place.push(this.#app, descriptor, content);
  }

  /** What a manifest names has to be where the manifest goes. */
  async #gather(below: readonly Descriptor[], place: Place, lease: string): Promise<void> {
    for (const descriptor of below) {
      const store = await this.#where.storeOf(this.#app, descriptor.digest);
      if (store === undefined || store === place.name) continue;
      await this.#move({ app: this.#app, store, descriptor }, place, lease);
    }
  }

  /** Brings a blob that the app has in another store, and all that it names, to where new content goes. */
  async move(member: Member): Promise<void> {
    const place = await this.#places.current();
    await this.#leased((lease) => this.#move(member, place, lease));
  }

  async #move(member: Member, place: Place, lease: string): Promise<void> {
    const { store, descriptor } = member;
    const { digest } = descriptor;
    if (store === place.name) return;
    const below = await this.#where.below(this.#app, digest);
    await eachOf(below, WIDTH, (child) => this.#move(child, place, lease));
    await this.#claim(digest, lease, place);
    await this.#bring(member, place);
    if (isManifestType(descriptor.mediaType))
      for (const name of await this.#where.namesOf(this.#app, digest))
        await place.tag(this.#app, descriptor, name);
    else if (await this.#where.isLoose(this.#app, digest)) await place.keep(this.#app, descriptor);
    if (!(await place.has(this.#app, descriptor)))
      throw new DavitError(
        "registry",
        `Cannot move ${digest}: ${place.name} does not have it after it took it`,
      );
    await this.#where.flip(member, place.name);
  }

  /** Copies a blob into a place from where somebody of the rack has it. */
  async #bring({ app, store, descriptor }: Member, place: Place): Promise<void> {
    const from = await this.#places.named(store);
    const near = await this.#where.holder(descriptor.digest, place.name);
    const source = near?.store === place.name && near.app !== this.#app ? near.app : undefined;
    const content: Content = { replayable: true, open: (at) => from.read(app, descriptor, at) };
    await place.push(this.#app, descriptor, content, source);
  }

  async referrers(subject: Digest): Promise<Descriptor[]> {
    return await this.#ledger.referrers(this.#app, subject);
  }

  async writer(wanted?: Descriptor): Promise<BlobWriter> {
    const place = await this.#places.current();
    const writer = await place.writer(this.#app, wanted);
    return new RackWriter(writer, async (mediaType, digest, expected) =>
      this.#leased(async (lease) => {
        await this.#claim(digest, lease, place).catch(async (error: unknown) => {
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
      await this.#claim(expected.digest, lease, place);
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

  /** Gives the app a blob of the rack whose content it has proved to have, by other means than sending it. */
  async adopt(descriptor: Descriptor): Promise<boolean> {
    return await this.#leased(async (lease) => {
      const place = await this.#places.current();
      if (place === this.#places.own && (await this.#ledger.adopt(this.#app, descriptor, lease))) return true;
      const holder = await this.#where.holder(descriptor.digest, place.name);
      if (holder?.descriptor.size !== descriptor.size) return false;
      if (holder.app === this.#app) return await this.#ledger.has(this.#app, descriptor, lease);
      if (!(await this.#ledger.claim(lease, this.#app, descriptor.digest, place.name))) return false;
      await this.#bring(holder, place);
      await this.#ledger.add(this.#app, descriptor, lease, place.name);
      return true;
    });
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
  async #claim(digest: Digest, lease: string, place: Place): Promise<void> {
    for (let tries = 1; !(await this.#ledger.claim(lease, this.#app, digest, place.name)); tries++) {
      await this.#collector.run();
      if (tries === CLAIMS)
        throw new DavitError("busy", `Cannot store ${digest}: it is being deleted, and that does not end`);
      if (tries > 1) await Bun.sleep(PAUSE);
    }
  }
}

/** Whether what was stored before an error is good, and worth keeping. */
function isCut(error: unknown): boolean {
  return hasCode(error, "cut-archive", "interrupted", "unavailable");
}

class RackWriter implements BlobWriter {
  readonly #writer: PlaceWriter;
  readonly #commit: (mediaType: string, digest: Digest, expected?: Descriptor) => Promise<Descriptor>;

  constructor(
    writer: PlaceWriter,
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
