import type { Bytes } from "../bytes.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobWriter } from "../oci/store.ts";
import type { PlaceWriter } from "./place.ts";

/** A writer whose blob is claimed before it comes into its place, and recorded after. */
export class RackWriter implements BlobWriter {
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
