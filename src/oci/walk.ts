import { type Bytes, collect } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { children, MAX_MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { isManifestType } from "./media-types.ts";
import type { ReadStore } from "./store.ts";

/** What one walk may meet: manifests below manifests, manifests, their bytes, and nodes of any kind. */
export const LIMITS = { depth: 8, manifests: 10_000, bytes: 256 * 1024 * 1024, nodes: 200_000 } as const;

/** How long a walk keeps others waiting, in milliseconds. */
const SLICE = 10;

/** A manifest as it was read, and what it names. */
export interface ReadManifest {
  bytes: Bytes;
  manifest: Manifest;
  below: Descriptor[];
}

export interface Visits {
  /** Before a node is read. False leaves the node out, and all that only it names. */
  enter?(node: Descriptor): Promise<boolean>;
  /** A manifest was read; what it names comes next. */
  read?(node: Descriptor, read: ReadManifest): void;
  /** After everything below: `read` is undefined for what is no manifest. */
  leave?(node: Descriptor, read: ReadManifest | undefined): Promise<void>;
  /** Children of one manifest that are visited at once; 1 when left out. */
  width?: number;
}

/**
 * Walks graphs of manifests: each node once, however many name it, what a manifest names
 * before the manifest, and no further than {@link LIMITS}: others made these graphs. The
 * limits are for all roots together.
 */
export class Walk {
  readonly #source: ReadStore;
  readonly #visits: Visits;
  readonly #nodes = new Map<string, Promise<void>>();
  #manifests = 0;
  #bytes = 0;
  #breath = performance.now();

  constructor(source: ReadStore, visits: Visits) {
    this.#source = source;
    this.#visits = visits;
  }

  /** Resolves when the node, and all that it names, has been visited. */
  async from(root: Descriptor): Promise<void> {
    await this.#visit(root, 0);
  }

  /** One digest may be named as several things: each of them is a node. */
  async #visit(node: Descriptor, depth: number): Promise<void> {
    const key = `${node.digest} ${node.size} ${node.mediaType}`;
    let visit = this.#nodes.get(key);
    if (!visit) {
      if (this.#nodes.size >= LIMITS.nodes) throw tooLarge(node, `${LIMITS.nodes} blobs`);
      visit = this.#visitFirst(node, depth);
      this.#nodes.set(key, visit);
    }
    await visit;
  }

  async #visitFirst(node: Descriptor, depth: number): Promise<void> {
    await this.#breathe();
    if ((await this.#visits.enter?.(node)) === false) return;
    if (!isManifestType(node.mediaType)) return await this.#visits.leave?.(node, undefined);
    const read = await this.#read(node, depth);
    this.#visits.read?.(node, read);
    await eachOf(read.below, this.#visits.width ?? 1, (child) => this.#visit(child, depth + 1));
    await this.#visits.leave?.(node, read);
  }

  async #read(node: Descriptor, depth: number): Promise<ReadManifest> {
    this.#bytes += node.size;
    if (depth > LIMITS.depth) throw tooLarge(node, `manifests nested ${LIMITS.depth} deep`);
    if (++this.#manifests > LIMITS.manifests) throw tooLarge(node, `${LIMITS.manifests} manifests`);
    if (this.#bytes > LIMITS.bytes) throw tooLarge(node, `${LIMITS.bytes} bytes of manifests`);
    const { bytes, manifest } = await readManifest(this.#source, node);
    return { bytes, manifest, below: children(manifest) };
  }

  /** What answers from memory would never let anybody else have a turn. */
  async #breathe(): Promise<void> {
    if (performance.now() - this.#breath < SLICE) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#breath = performance.now();
  }
}

function tooLarge({ digest }: Descriptor, limit: string): DavitError {
  return new DavitError("invalid", `Cannot follow ${digest}: the graph has more than ${limit}`);
}

/** Fetches, verifies and parses one manifest. */
export async function readManifest(
  source: ReadStore,
  descriptor: Descriptor,
): Promise<{ bytes: Bytes; manifest: Manifest }> {
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
