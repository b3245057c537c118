import type { ByteStream } from "../bytes.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { BlobWriter, Content } from "../oci/store.ts";
import type { UploadNotes } from "../oci/upload-journal.ts";

/** A writer that can say early what it was given. */
export interface PlaceWriter extends BlobWriter {
  /** Nothing can be written after it. */
  digest(): Digest;
}

/** A blob that comes in several requests, of whatever process of the rack. */
export interface Upload {
  /** Bytes it holds. */
  readonly offset: number;
  /** Takes what a request brings; what has come when the link breaks is kept. */
  append(stream: ByteStream): Promise<void>;
  /** Puts the blob in its place if it is the one expected; else nothing is left of it. */
  commit(expected: Descriptor): Promise<Descriptor>;
  remove(): Promise<void>;
}

/** Where content of a rack lies: its own pool, or a registry outside. It knows bytes; who may see them is the ledger's matter. */
export interface Place {
  /** What rows call it. */
  readonly name: string;
  has(app: string, descriptor: Descriptor): Promise<boolean>;
  read(app: string, descriptor: Descriptor, from: number): Promise<ByteStream>;
  /** Whole, verified and durable, or not at all. `source` is another app that has it here already. */
  push(app: string, descriptor: Descriptor, content: Content, source?: string): Promise<void>;
  writer(app: string, expected?: Descriptor): Promise<PlaceWriter>;
  upload(app: string, id: string, notes: UploadNotes): Promise<Upload>;
  /** Where only what has a name lasts: gives one to a manifest. */
  tag(app: string, manifest: Descriptor, name: string): Promise<void>;
  /** The same for a blob that no manifest names. */
  keep(app: string, blob: Descriptor): Promise<void>;
  remove(app: string, digest: Digest): Promise<void>;
}
