import type { ByteStream } from "../bytes.ts";
import type { BlobPool } from "../oci/blob-pool.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, digestAlgorithm } from "../oci/digest.ts";
import { pushToPool } from "../oci/pool-push.ts";
import { PoolUpload } from "../oci/pool-upload.ts";
import type { Content } from "../oci/store.ts";
import type { Place, PlaceWriter, Upload } from "./place.ts";
import { OWN } from "./place-ledger.ts";

/** The rack's own directory: one file for a blob, whichever apps have it. */
export class OwnPlace implements Place {
  readonly name = OWN;
  readonly pool: BlobPool;

  constructor(pool: BlobPool) {
    this.pool = pool;
  }

  has(_app: string, descriptor: Descriptor): Promise<boolean> {
    return this.pool.has(descriptor);
  }

  read(_app: string, descriptor: Descriptor, from: number): Promise<ByteStream> {
    return this.pool.read(descriptor, from);
  }

  push(_app: string, descriptor: Descriptor, content: Content): Promise<void> {
    return pushToPool(this.pool, descriptor, content);
  }

  writer(_app: string, expected?: Descriptor): Promise<PlaceWriter> {
    return this.pool.writer(expected && digestAlgorithm(expected.digest));
  }

  upload(_app: string, id: string): Promise<Upload> {
    return PoolUpload.open(this.pool, id);
  }

  async tag(): Promise<void> {}

  async keep(): Promise<void> {}

  remove(_app: string, digest: Digest): Promise<void> {
    return this.pool.remove(digest);
  }
}
