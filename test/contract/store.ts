import { expect, describe as suite, test } from "bun:test";
import { type Bytes, collect, encode, streamOf } from "../../src/bytes.ts";
import { hasCode } from "../../src/errors.ts";
import { copy } from "../../src/oci/copy.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { MemoryStore } from "../../src/oci/memory-store.ts";
import { contentOf, oneShot, type Store } from "../../src/oci/store.ts";
import { sampleImage } from "../support/images.ts";

/** What every store promises. A new store is one more line in `test/unit/stores.test.ts`. */
export function testStore(name: string, open: () => Promise<Store & Partial<AsyncDisposable>>): void {
  const blob = encode("a blob's bytes");
  const descriptor = describe("text/plain", blob);
  const using = async (work: (store: Store) => Promise<void>): Promise<void> => {
    const store = await open();
    try {
      await work(store);
    } finally {
      await store[Symbol.asyncDispose]?.();
    }
  };
  const refuses = async (store: Store, bytes: Bytes): Promise<void> => {
    const error = await store.push(descriptor, oneShot(streamOf(bytes))).catch((e: unknown) => e);
    expect(hasCode(error, "mismatch")).toBe(true);
    expect(await store.exists(descriptor)).not.toBe("yes");
  };

  suite(name, () => {
    test("push() then fetch() gives the bytes back, whole and from an offset", () =>
      using(async (store) => {
        await store.push(descriptor, contentOf(blob));
        expect(await store.exists(descriptor)).toBe("yes");
        expect(await collect(await store.fetch(descriptor), 100, "blob")).toEqual(blob);
        expect(await collect(await store.fetch(descriptor, 5), 100, "blob")).toEqual(blob.slice(5));
      }));

    test("push() refuses content with a flipped bit and leaves nothing visible", () =>
      using(async (store) => {
        const flipped = blob.slice();
        flipped[3] = (flipped[3] ?? 0) ^ 1;
        await refuses(store, flipped);
      }));

    test("push() refuses content that is too short or too long", () =>
      using(async (store) => {
        await refuses(store, blob.slice(1));
        await refuses(store, encode("a blob's bytes, and more"));
      }));

    test("push() passes a failing source's error on and leaves nothing visible", () =>
      using(async (store) => {
        async function* failing(): AsyncGenerator<Bytes> {
          yield blob.slice(0, 4);
          throw new Error("the link broke");
        }
        await expect(store.push(descriptor, oneShot(failing()))).rejects.toThrow("the link broke");
        expect(await store.exists(descriptor)).not.toBe("yes");
      }));

    test("push() of what exists is a no-op", () =>
      using(async (store) => {
        await store.push(descriptor, contentOf(blob));
        await store.push(descriptor, contentOf(blob));
        expect(await collect(await store.fetch(descriptor), 100, "blob")).toEqual(blob);
      }));

    test("writer() names content by the digest it turns out to have", () =>
      using(async (store) => {
        const writer = await store.writer();
        await writer.write(blob.slice(0, 6));
        expect(writer.offset).toBe(6);
        await writer.write(blob.slice(6));
        expect(await writer.commit("text/plain")).toEqual(descriptor);
        expect(await store.exists(descriptor)).toBe("yes");
      }));

    test("writer() refuses to commit under another digest", () =>
      using(async (store) => {
        const writer = await store.writer();
        await writer.write(encode("something else"));
        const error = await writer.commit("text/plain", descriptor).catch((e: unknown) => e);
        expect(hasCode(error, "mismatch")).toBe(true);
        expect(await store.exists(descriptor)).not.toBe("yes");
      }));

    test("an aborted writer leaves nothing visible", () =>
      using(async (store) => {
        const writer = await store.writer();
        await writer.write(blob);
        await writer.abort();
        expect(await store.exists(descriptor)).not.toBe("yes");
      }));

    test("absence is not-found, for tags, blobs and tagging", () =>
      using(async (store) => {
        const absent = [
          () => store.resolve("none"),
          () => store.tag(descriptor, "x"),
          () => drainFetch(store),
        ];
        for (const ask of absent)
          expect(hasCode(await ask().catch((e: unknown) => e), "not-found")).toBe(true);
      }));

    test("tag() moves a name to its newest content", () =>
      using(async (store) => {
        const first = await copy(await sampleImage("one"), await resolved("one"), store, { as: "web" });
        expect((await store.resolve("web")).digest).toBe(first.digest);
        const second = await copy(await sampleImage("two"), await resolved("two"), store, { as: "web" });
        expect((await store.resolve("web")).digest).toBe(second.digest);
      }));

    test("copy() brings the whole graph, children first, and moves nothing the second time", () =>
      using(async (store) => {
        const source = await sampleImage("graph");
        const root = await source.resolve("image");
        const moved: string[] = [];
        await copy(source, root, store, { on: { copied: (d) => moved.push(d.digest) } });
        expect(moved.at(-1)).toBe(root.digest);
        for (const digest of source.blobs.keys()) expect(moved).toContain(digest);
        const again: string[] = [];
        await copy(source, root, store, { on: { copied: (d) => again.push(d.digest) } });
        expect(again).toEqual([root.digest]);
        const back = new MemoryStore();
        await copy(store, root, back);
        expect([...back.blobs.keys()].sort()).toEqual([...source.blobs.keys()].sort());
      }));

    test("two writers of one blob both succeed", () =>
      using(async (store) => {
        await Promise.all([store.push(descriptor, contentOf(blob)), store.push(descriptor, contentOf(blob))]);
        expect(await collect(await store.fetch(descriptor), 100, "blob")).toEqual(blob);
      }));
  });

  async function drainFetch(store: Store): Promise<void> {
    await collect(await store.fetch(descriptor), 100, "blob");
  }
  async function resolved(seed: string) {
    return await (await sampleImage(seed)).resolve("image");
  }
}
