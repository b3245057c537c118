import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import { referrerEntry } from "./manifest.ts";
import { isManifestType } from "./media-types.ts";
import type { ReadStore } from "./store.ts";
import { readManifest } from "./walk.ts";

/** What refers to what in a layout: its `index.json` names every such manifest, most without a tag. */
export class LayoutReferrers {
  readonly #store: ReadStore;
  readonly #index: () => Promise<Descriptor[]>;
  #bySubject: Promise<Map<Digest, Descriptor[]>> | undefined;

  constructor(store: ReadStore, index: () => Promise<Descriptor[]>) {
    this.#store = store;
    this.#index = index;
  }

  async of(subject: Digest): Promise<Descriptor[]> {
    this.#bySubject ??= this.#read();
    return (await this.#bySubject).get(subject) ?? [];
  }

  async #read(): Promise<Map<Digest, Descriptor[]>> {
    const found = new Map<Digest, Descriptor[]>();
    for (const entry of await this.#index()) {
      if (!isManifestType(entry.mediaType) || (await this.#store.exists(entry)) !== "yes") continue;
      const { bytes, manifest } = await readManifest(this.#store, entry);
      if (!manifest.subject) continue;
      const known = found.get(manifest.subject.digest) ?? [];
      found.set(manifest.subject.digest, [...known, referrerEntry(entry, bytes)]);
    }
    return found;
  }
}
