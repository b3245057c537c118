import { type Bytes, collect } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { Slices } from "../slices.ts";
import type { Descriptor } from "./descriptor.ts";
import { children, MAX_MANIFEST, type Manifest, parseManifest } from "./manifest.ts";
import { isManifestType } from "./media-types.ts";
import type { ReadStore } from "./store.ts";

/** Limits of one walk: how deep manifests may be nested, how many manifests and bytes of them it reads, and how many nodes of any kind it visits. */
export const LIMITS = { depth: 8, manifests: 10_000, bytes: 256 * 1024 * 1024, nodes: 200_000 } as const;

/** A manifest as it was read, and what it names. */
export interface ReadManifest {
  bytes: Bytes;
  manifest: Manifest;
  below: Descriptor[];
}

export interface Visits {
  /** Called before a node is read. False leaves out the node and all that only it names. */
  enter?(node: Descriptor): Promise<boolean>;
  /** Called when a manifest was read, before what it names is visited. */
  read?(node: Descriptor, read: ReadManifest): void;
  /** Called after everything below the node; `read` is undefined where the node is no manifest. */
  leave?(node: Descriptor, read: ReadManifest | undefined): Promise<void>;
  /** Children of one manifest that are visited at once; 1 when left out. */
  width?: number;
}

/**
 * Walks graphs of manifests: visits each node once, however many manifests name it, and what
 * a manifest names before the manifest itself. Others made these graphs: a walk beyond
 * {@link LIMITS}, which count for all of its roots together, is an error of code `invalid`.
 */
export class Walk {
  readonly #source: ReadStore;
  readonly #visits: Visits;
  /** Stores that answer from memory would hold the event loop until the walk ends. */
  readonly #slices = new Slices();
  readonly #nodes = new Map<string, Promise<void>>();
  #manifests = 0;
  #bytes = 0;

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
    await this.#slices.next();
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
