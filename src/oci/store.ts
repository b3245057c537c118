import { type ByteStream, type Bytes, streamOf } from "../bytes.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";

/** Content-addressed OCI content, for reading. Absence is always the error code `not-found`. */
export interface ReadStore {
  /** The descriptor behind a tag or a digest. */
  resolve(ref: string): Promise<Descriptor>;
  /** Never downloads. `unknown` is an honest answer: the caller may push, or ask again. */
  exists(descriptor: Descriptor): Promise<"yes" | "no" | "unknown">;
  /** Bytes from offset `from`. A whole read verifies digest and size at its end; a ranged one is for resuming. */
  fetch(descriptor: Descriptor, from?: number): Promise<ByteStream>;
}

/** A store bound to one repository, for reading and writing. */
export interface Store extends ReadStore {
  /** Stores content under its descriptor, whole and verified, or leaves nothing visible. Pushing what exists is a no-op. */
  push(descriptor: Descriptor, content: Content): Promise<void>;
  /** For content whose digest is known only at its end. */
  /** `expected`, where the digest is known: a store that has such a blob half-written may go on with it. */
  writer(expected?: Descriptor): Promise<BlobWriter>;
  tag(descriptor: Descriptor, ref: string): Promise<void>;
  /**
   * Runs `work` so that nothing it stores, or is told exists, is collected
   * before it ends. What it leaves unreferenced is swept afterwards.
   */
  lease<T>(work: (store: Store) => Promise<T>): Promise<T>;
}

/** A store that knows what refers to a manifest: signatures, SBOMs, attestations. Found at run time. */
export interface Referrers {
  referrers(subject: Digest): Promise<Descriptor[]>;
}

export function hasReferrers(store: ReadStore): store is ReadStore & Referrers {
  return "referrers" in store && typeof store.referrers === "function";
}

/** A store whose bytes can be had unverified, by those who take their digest themselves. The chunks are theirs to keep. */
export interface Unverified {
  fetchUnverified(descriptor: Descriptor): Promise<ByteStream>;
}

export function hasUnverified(store: ReadStore): store is ReadStore & Unverified {
  return "fetchUnverified" in store && typeof store.fetchUnverified === "function";
}

/** A store that finds untagged manifests by a list: what refers to another has to be put on it. */
export interface Listing {
  list(descriptor: Descriptor): Promise<void>;
}

export function hasList(store: ReadStore): store is ReadStore & Listing {
  return "list" in store && typeof store.list === "function";
}

/** Where bytes come from. One-shot content (a pipe) opens once, from 0. */
export interface Content {
  open(from: number): Promise<ByteStream>;
  readonly replayable: boolean;
}

/** Takes bytes in order; `commit` makes them visible under the digest they turned out to have. */
export interface BlobWriter {
  /** Bytes written so far. */
  readonly offset: number;
  /** The chunk may be reused once the promise resolves. */
  write(chunk: Bytes): Promise<void>;
  /** With `expected`, digest and size must be those, else nothing becomes visible. */
  commit(mediaType: string, expected?: Descriptor): Promise<Descriptor>;
  abort(): Promise<void>;
}

/** Content in memory. */
export function contentOf(bytes: Bytes): Content {
  return { replayable: true, open: async (from) => streamOf(from === 0 ? bytes : bytes.subarray(from)) };
}

/** Content that can be read once only. */
export function oneShot(stream: ByteStream): Content {
  return { replayable: false, open: async () => stream };
}

/** Content that another store holds. */
export function contentFrom(store: ReadStore, descriptor: Descriptor): Content {
  return { replayable: true, open: (from) => store.fetch(descriptor, from) };
}
