import type { BlobPool } from "../oci/blob-pool.ts";
import { OwnPlace } from "./own-place.ts";
import type { Place } from "./place.ts";
import { OWN } from "./place-ledger.ts";

export interface Outside {
  /** The store that new content goes to: `HOST/PREFIX`, or "" for the rack's own. */
  wanted(): Promise<string>;
  open(name: string): Promise<Place>;
}

/** Every place that content of a rack may be in. */
export class Places {
  readonly own: OwnPlace;
  readonly #outside: Outside | undefined;
  readonly #open = new Map<string, Promise<Place>>();

  /** Without `outside` there is the rack's own pool only. */
  constructor(pool: BlobPool, outside?: Outside) {
    this.own = new OwnPlace(pool);
    this.#outside = outside;
  }

  /** Where new content goes. */
  async current(): Promise<Place> {
    return this.#outside ? await this.named(await this.#outside.wanted()) : this.own;
  }

  async named(name: string): Promise<Place> {
    if (name === OWN || !this.#outside) return this.own;
    const place = this.#open.get(name) ?? this.#outside.open(name);
    this.#open.set(name, place);
    return await place;
  }
}
