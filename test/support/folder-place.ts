import type { ByteStream } from "../../src/bytes.ts";
import { BlobPool } from "../../src/oci/blob-pool.ts";
import type { Descriptor } from "../../src/oci/descriptor.ts";
import type { Digest } from "../../src/oci/digest.ts";
import type { Content } from "../../src/oci/store.ts";
import { OwnPlace } from "../../src/rack/own-place.ts";
import type { Place, PlaceWriter, Upload } from "../../src/rack/place.ts";

/** A store outside the rack as registries are: each app has its own copy of everything. */
export class FolderPlace implements Place {
  readonly name: string;
  readonly #root: string;
  readonly #apps = new Map<string, OwnPlace>();

  constructor(name: string, root: string) {
    this.name = name;
    this.#root = root;
  }

  /** The directory of an app's blobs. */
  of(app: string): OwnPlace {
    const place = this.#apps.get(app) ?? new OwnPlace(new BlobPool(`${this.#root}/${app}`));
    this.#apps.set(app, place);
    return place;
  }

  has(app: string, descriptor: Descriptor): Promise<boolean> {
    return this.of(app).has(app, descriptor);
  }

  read(app: string, descriptor: Descriptor, from: number): Promise<ByteStream> {
    return this.of(app).read(app, descriptor, from);
  }

  push(app: string, descriptor: Descriptor, content: Content): Promise<void> {
    return this.of(app).push(app, descriptor, content);
  }

  writer(app: string, expected?: Descriptor): Promise<PlaceWriter> {
    return this.of(app).writer(app, expected);
  }

  upload(app: string, id: string): Promise<Upload> {
    return this.of(app).upload(app, id);
  }

  async tag(): Promise<void> {}

  async keep(): Promise<void> {}

  remove(app: string, digest: Digest): Promise<void> {
    return this.of(app).remove(app, digest);
  }
}
