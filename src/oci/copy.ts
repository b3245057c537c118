import { type ByteStream, type Bytes, collect } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import { children, MAX_MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { isManifestType } from "./media-types.ts";
import {
  type Content,
  contentFrom,
  contentOf,
  hasList,
  hasReferrers,
  type ReadStore,
  type Store,
} from "./store.ts";

export interface CopyEvents {
  /** The target has it already. */
  skipped?(descriptor: Descriptor): void;
  copied?(descriptor: Descriptor): void;
  /** Bytes that came, as they come. */
  bytes?(count: number): void;
  /** Told of what went wrong and was put right. */
  warning?(text: string): void;
}

export interface CopyOptions {
  /** The name the root gets in the target. */
  as?: string;
  /** Blobs under way at once. */
  concurrency?: number;
  /** Signatures, SBOMs and attestations go along. */
  referrers?: boolean;
  on?: CopyEvents;
}

/** Indexes nested deeper than this are refused. */
const MAX_DEPTH = 8;

/**
 * Moves the graph below `root` from one store to another: children first, so an
 * interrupted copy never leaves a parent without its children; what the target
 * has is skipped; the name comes last.
 */
export async function copy(
  source: ReadStore,
  root: Descriptor,
  target: Store,
  options: CopyOptions = {},
): Promise<Descriptor> {
  return await target.lease(async (leased) => {
    const manifests = new Map<Digest, Descriptor>();
    await copyNode(source, root, leased, { ...options, manifests }, 0);
    if (options.referrers) await copyReferrers(source, leased, { ...options, manifests });
    if (options.as !== undefined) await leased.tag(root, options.as);
    return root;
  });
}

interface Running extends CopyOptions {
  /** Manifests that were copied. */
  manifests: Map<Digest, Descriptor>;
}

/** What refers to what was copied, and what refers to that. */
async function copyReferrers(source: ReadStore, target: Store, running: Running): Promise<void> {
  if (!hasReferrers(source)) return;
  for (const digest of running.manifests.keys()) {
    // A map's iterator also meets what is added meanwhile.
    for (const referrer of await source.referrers(digest)) {
      if (running.manifests.has(referrer.digest)) continue;
      const { mediaType, digest: own, size } = referrer;
      await copyNode(source, { mediaType, digest: own, size }, target, running, 0);
      if (hasList(target)) await target.list({ mediaType, digest: own, size });
    }
  }
}

async function copyNode(
  source: ReadStore,
  node: Descriptor,
  target: Store,
  options: Running,
  depth: number,
): Promise<void> {
  if (!isManifestType(node.mediaType)) return await copyBlob(source, node, target, options);
  if (depth > MAX_DEPTH)
    throw new DavitError(
      "invalid",
      `Cannot copy ${node.digest}: indexes are nested deeper than ${MAX_DEPTH}`,
    );
  const { bytes, manifest } = await readManifest(source, node);
  const below = children(manifest);
  await eachOf(below, options.concurrency ?? 3, (child) =>
    copyNode(source, child, target, options, depth + 1),
  );
  await pushManifest(source, { node, bytes, below }, target, options);
  options.manifests.set(node.digest, node);
  options.on?.copied?.(node);
}

/** A target may have lost a blob between its "yes" and the manifest: then that blob is sent, once. */
async function pushManifest(
  source: ReadStore,
  { node, bytes, below }: { node: Descriptor; bytes: Bytes; below: Descriptor[] },
  target: Store,
  options: CopyOptions,
): Promise<void> {
  try {
    await target.push(node, contentOf(bytes));
  } catch (error) {
    if (!hasCode(error, "blob-unknown")) throw error;
    options.on?.warning?.(`${error.message}; sending what is missing again`);
    for (const blob of below.filter((child) => !isManifestType(child.mediaType)))
      await copyBlob(source, blob, target, options);
    await target.push(node, contentOf(bytes));
  }
}

async function copyBlob(
  source: ReadStore,
  blob: Descriptor,
  target: Store,
  options: CopyOptions,
): Promise<void> {
  if ((await target.exists(blob)) === "yes") {
    options.on?.skipped?.(blob);
    return;
  }
  try {
    await target.push(blob, counted(source, blob, options));
  } catch (error) {
    if (!hasCode(error, "mismatch")) throw error;
    options.on?.warning?.(`${error.message}; fetching it once more`);
    await target.push(blob, counted(source, blob, options));
  }
  options.on?.copied?.(blob);
}

function counted(source: ReadStore, blob: Descriptor, { on }: CopyOptions): Content {
  const content = contentFrom(source, blob);
  const told = on?.bytes;
  if (!told) return content;
  async function* count(stream: ByteStream): AsyncGenerator<Bytes> {
    for await (const chunk of stream) {
      yield chunk;
      told?.(chunk.byteLength);
    }
  }
  return { replayable: true, open: async (from) => count(await content.open(from)) };
}

/** Fetches, verifies and parses one manifest. */
export async function readManifest(
  source: ReadStore,
  descriptor: Descriptor,
): Promise<{ bytes: Uint8Array<ArrayBuffer>; manifest: Manifest }> {
  const bytes = await collect(await source.fetch(descriptor), MAX_MANIFEST, `manifest ${descriptor.digest}`);
  return { bytes, manifest: parseManifest(bytes, descriptor) };
}

/** Runs `work` over items, at most `width` at once; the first failure stops the rest from starting. */
export async function eachOf<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const queue = items[Symbol.iterator]();
  let failed = false;
  const worker = async (): Promise<void> => {
    for (const item of queue) {
      if (failed) return;
      await work(item).catch((error: unknown) => {
        failed = true;
        throw error;
      });
    }
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(width, items.length) }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
