import { expect, test } from "bun:test";
import fc from "fast-check";
import { encode } from "../../src/bytes.ts";
import { copy } from "../../src/oci/copy.ts";
import { type Descriptor, describe } from "../../src/oci/descriptor.ts";
import { children, makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { planCopy } from "../../src/oci/plan.ts";
import { contentOf } from "../../src/oci/store.ts";
import { LIMITS, readManifest, Walk } from "../../src/oci/walk.ts";

/** Layers of a graph, the lowest first: each node names some of those below, as often as it likes. */
const graphs = fc.array(
  fc.array(fc.array(fc.nat({ max: 5 }), { maxLength: 6 }), { minLength: 1, maxLength: 4 }),
  { minLength: 1, maxLength: 6 },
);

async function storeOf(levels: number[][][]): Promise<{ store: MemoryStore; root: Descriptor }> {
  const store = new MemoryStore();
  const blob = describe(mediaTypes.ociLayerGzip, encode("a blob"));
  await store.push(blob, contentOf(encode("a blob")));
  let below: Descriptor[] = [blob];
  for (const [depth, level] of levels.entries()) {
    const made: Descriptor[] = [];
    for (const [number, names] of level.entries()) {
      const manifests = names.map((name) => below[name % below.length] ?? blob);
      const { descriptor, bytes } = makeManifest(mediaTypes.ociIndex, {
        manifests,
        annotations: { at: `${depth}.${number}` },
      });
      await store.push(descriptor, contentOf(bytes));
      made.push(descriptor);
    }
    below = made;
  }
  const root = makeManifest(mediaTypes.ociIndex, { manifests: below });
  await store.push(root.descriptor, contentOf(root.bytes));
  return { store, root: root.descriptor };
}

test("a walk visits each node once, and what a manifest names before the manifest", async () => {
  await fc.assert(
    fc.asyncProperty(graphs, fc.integer({ min: 1, max: 4 }), async (levels, width) => {
      const { store, root } = await storeOf(levels);
      const entered: string[] = [];
      const left = new Set<string>();
      const walk = new Walk(store, {
        width,
        enter: async ({ digest }) => entered.push(digest) > 0,
        leave: async ({ digest }, read) => {
          for (const child of read?.below ?? [])
            if (!left.has(child.digest)) throw new Error(`${digest} came before ${child.digest}`);
          left.add(digest);
        },
      });
      await walk.from(root);
      await walk.from(root);
      expect(entered.length).toBe(new Set(entered).size);
      expect([...left].sort()).toEqual(entered.sort());
      expect(left.has(root.digest)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test("what is left out is not read, and neither is what only it names", async () => {
  const { store, root } = await storeOf([[[0]], [[0]]]);
  const left: string[] = [];
  const { manifest } = await readManifest(store, root);
  const [only] = children(manifest);
  const walk = new Walk(store, {
    enter: async ({ digest }) => digest !== only?.digest,
    leave: async ({ digest }) => void left.push(digest),
  });
  await walk.from(root);
  expect(left).toEqual([root.digest]);
});

/** Each of `depth` indexes names the one below it `fan` times. */
async function ladder(depth: number, fan: number) {
  const levels = Array.from({ length: depth }, () => [Array.from({ length: fan }, () => 0)]);
  return await storeOf(levels);
}

test("indexes that name each other a thousand times are copied, and planned, as what they are", async () => {
  const { store, root } = await ladder(6, 1000);
  const counted = counting(store);
  await copy(counted.store, root, new MemoryStore());
  expect(counted.fetches()).toBeLessThanOrEqual(8);
  await planCopy(counted.store, [root], new MemoryStore());
  expect(counted.fetches()).toBeLessThanOrEqual(16);
});

test("a graph is followed to its limits and no further, and others have turns meanwhile", async () => {
  const deep = await ladder(LIMITS.depth + 1, 1);
  await expect(new Walk(deep.store, {}).from(deep.root)).rejects.toThrow("nested 8 deep");
  const wide = endless();
  let longest = 0;
  let before = performance.now();
  const ticks = setInterval(() => {
    longest = Math.max(longest, performance.now() - before);
    before = performance.now();
  }, 1);
  await expect(new Walk(wide.store, {}).from(wide.root)).rejects.toThrow(/has more than/);
  clearInterval(ticks);
  expect(longest).toBeGreaterThan(0);
  expect(longest).toBeLessThan(250);
});

/** A store whose every index names a thousand others. */
function endless() {
  const made = new Map<string, Uint8Array<ArrayBuffer>>();
  let next = 0;
  const index = (level: number): Descriptor => {
    const { descriptor, bytes } = makeManifest(mediaTypes.ociIndex, {
      manifests: [],
      annotations: { level: String(level), number: String(next++) },
    });
    made.set(descriptor.digest, bytes);
    return descriptor;
  };
  const wide = (below: () => Descriptor): Descriptor => {
    const manifests = Array.from({ length: 1000 }, below);
    const { descriptor, bytes } = makeManifest(mediaTypes.ociIndex, { manifests });
    made.set(descriptor.digest, bytes);
    return descriptor;
  };
  const middle = Array.from({ length: 12 }, () => wide(() => index(0)));
  const root = makeManifest(mediaTypes.ociIndex, { manifests: middle });
  made.set(root.descriptor.digest, root.bytes);
  const fetch = async ({ digest }: Descriptor) => {
    const bytes = made.get(digest);
    if (!bytes) throw new Error("made above");
    return (async function* () {
      yield bytes;
    })();
  };
  const store = { fetch, exists: async () => "yes" as const, resolve: async () => root.descriptor };
  return { store, root: root.descriptor };
}

function counting(inner: MemoryStore) {
  let fetches = 0;
  const store = {
    resolve: (ref: string) => inner.resolve(ref),
    exists: (blob: Descriptor) => inner.exists(blob),
    fetch: (blob: Descriptor, from?: number) => {
      fetches++;
      return inner.fetch(blob, from);
    },
  };
  return { store, fetches: () => fetches };
}
