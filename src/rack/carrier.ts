import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import { isManifestType } from "../oci/media-types.ts";
import type { Content } from "../oci/store.ts";
import { eachOf } from "../oci/walk.ts";
import type { Collector } from "./collector.ts";
import type { Place } from "./place.ts";
import type { Member, PlaceLedger } from "./place-ledger.ts";

/** Blobs of one manifest that move at once. */
const WIDTH = 3;
/** How often a blob that is being deleted is waited for, and how long, in milliseconds. */
const CLAIMS = 20;
const PAUSE = 250;

/** Carries an app's blobs into places, so that no collector comes in between. */
export class Carrier {
  readonly #app: string;
  readonly #collector: Collector;
  readonly #where: PlaceLedger;

  constructor(app: string, collector: Collector) {
    this.#app = app;
    this.#collector = collector;
    this.#where = collector.ledger.places;
  }

  /** Before a blob is written. While a collector is deleting this very one, the deletion is seen through first. */
  async claim(digest: Digest, lease: string, place: Place): Promise<void> {
    const { content } = this.#collector.ledger;
    for (let tries = 1; !(await content.claim(lease, this.#app, digest, place.name)); tries++) {
      await this.#collector.run();
      if (tries === CLAIMS)
        throw new DavitError("busy", `Cannot store ${digest}: it is being deleted, and that does not end`);
      if (tries > 1) await Bun.sleep(PAUSE);
    }
  }

  /** What a manifest names has to be where the manifest goes. */
  async gather(below: readonly Descriptor[], place: Place, lease: string): Promise<void> {
    for (const descriptor of below) {
      const store = await this.#where.storeOf(this.#app, descriptor.digest);
      if (store !== undefined) await this.move({ app: this.#app, store, descriptor }, place, lease);
    }
  }

  /** Brings a blob that the app has in another store, and all that it names: copied, looked for, and only then read from there. */
  async move(member: Member, place: Place, lease: string): Promise<void> {
    const { store, descriptor } = member;
    const { digest } = descriptor;
    if (store === place.name) return;
    const below = await this.#where.below(this.#app, digest);
    await eachOf(below, WIDTH, (child) => this.move(child, place, lease));
    await this.claim(digest, lease, place);
    await this.bring(member, place);
    await this.#name(descriptor, place);
    if (!(await place.has(this.#app, descriptor)))
      throw new DavitError(
        "registry",
        `Cannot move ${digest}: ${place.name} does not have it after it took it`,
      );
    await this.#where.flip(member, place.name);
  }

  async #name(descriptor: Descriptor, place: Place): Promise<void> {
    if (isManifestType(descriptor.mediaType))
      for (const name of await this.#where.namesOf(this.#app, descriptor.digest))
        await place.tag(this.#app, descriptor, name);
    else if (await this.#where.isLoose(this.#app, descriptor.digest)) await place.keep(this.#app, descriptor);
  }

  /** Copies a blob into a place from where somebody of the rack has it. */
  async bring({ app, store, descriptor }: Member, place: Place): Promise<void> {
    const from = await this.#collector.places.named(store);
    const near = await this.#where.holder(descriptor.digest, place.name);
    const source = near?.store === place.name && near.app !== this.#app ? near.app : undefined;
    const content: Content = { replayable: true, open: (at) => from.read(app, descriptor, at) };
    await place.push(this.#app, descriptor, content, source);
  }
}
