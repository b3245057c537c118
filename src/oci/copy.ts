import type { ByteStream, Bytes } from "../bytes.ts";
import { hasCode } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
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
import { type ReadManifest, Walk } from "./walk.ts";

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
    const walk = new Walk(source, {
      width: options.concurrency ?? 3,
      leave: async (node, read) => {
        if (!read) return await copyBlob(source, node, leased, options);
        await pushManifest(source, node, read, leased, options);
        manifests.set(node.digest, node);
        options.on?.copied?.(node);
      },
    });
    await walk.from(root);
    if (options.referrers) await copyReferrers(source, leased, walk, manifests);
    if (options.as !== undefined) await leased.tag(root, options.as);
    return root;
  });
}

/** What refers to the manifests that were copied, and what refers to that. */
async function copyReferrers(
  source: ReadStore,
  target: Store,
  walk: Walk,
  copied: ReadonlyMap<Digest, Descriptor>,
): Promise<void> {
  if (!hasReferrers(source)) return;
  for (const digest of copied.keys()) {
    // A map's iterator also meets what is added meanwhile.
    for (const referrer of await source.referrers(digest)) {
      if (copied.has(referrer.digest)) continue;
      const { mediaType, digest: own, size } = referrer;
      await walk.from({ mediaType, digest: own, size });
      if (hasList(target)) await target.list({ mediaType, digest: own, size });
    }
  }
}

/** A target may have lost a blob between its "yes" and the manifest: then that blob is sent, once. */
async function pushManifest(
  source: ReadStore,
  node: Descriptor,
  { bytes, below }: ReadManifest,
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
