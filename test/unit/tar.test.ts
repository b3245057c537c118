import { expect, test } from "bun:test";
import fc from "fast-check";
import { unpackTar } from "modern-tar";
import { createTar } from "nanotar";
import { type Bytes, collect, decode, encode, streamOf } from "../../src/bytes.ts";
import { hasCode } from "../../src/errors.ts";
import { readTar } from "../../src/tar/read.ts";
import { type NewEntry, writeTar } from "../../src/tar/write.ts";
import { pax, rawTar } from "../support/raw-tar.ts";

const file = (name: string, body: Bytes, mode = 0o644): NewEntry => ({
  name,
  type: "file",
  size: body.byteLength,
  mode,
  body: async () => streamOf(body),
});

async function write(entries: NewEntry[]): Promise<Bytes> {
  return await collect(writeTar(entries), 1e8, "archive");
}

/** The same bytes in pieces of odd sizes. */
async function* pieces(bytes: Bytes, size: number): AsyncGenerator<Bytes> {
  for (let at = 0; at < bytes.byteLength; at += size) yield bytes.slice(at, at + size);
}

async function read(bytes: Bytes, size: number) {
  const found: { name: string; body: Bytes; mode: number; type: string; linkname: string }[] = [];
  for await (const { name, body, mode, type, linkname } of readTar(pieces(bytes, size)))
    found.push({ name, mode, type, linkname, body: await collect(body, 1e8, name) });
  return found;
}

const names = fc
  .string({ minLength: 1, maxLength: 300, unit: "grapheme" })
  .filter((name) => !name.includes("\0") && !name.endsWith("/"));

test("readTar() gives back what writeTar() wrote, whatever the names, sizes and pieces", async () => {
  const entry = fc.record({
    name: names,
    body: fc.uint8Array({ maxLength: 3000 }),
    mode: fc.integer({ min: 0, max: 0o7777 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(entry, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 5000 }),
      async (list, size) => {
        const entries = list.map(({ name, body, mode }) => file(name, new Uint8Array(body), mode));
        const found = await read(await write(entries), size);
        expect(found.map(({ name, mode, body }) => ({ name, mode, body }))).toEqual(
          list.map(({ name, body, mode }) => ({ name, mode, body: new Uint8Array(body) })),
        );
      },
    ),
    { numRuns: 200 },
  );
});

test("another reader finds the same in what writeTar() wrote", async () => {
  const long = `${"d/".repeat(120)}file`;
  const archive = await write([
    file("short", encode("one")),
    file(long, encode("two")),
    { name: "dir/", type: "directory" },
    { name: "link", type: "symlink", linkname: "../somewhere" },
  ]);
  const found = await unpackTar(archive, { strict: true });
  expect(found.map(({ header }) => [header.name, header.type, header.linkname])).toEqual([
    ["short", "file", ""],
    [long, "file", ""],
    ["dir/", "directory", ""],
    ["link", "symlink", "../somewhere"],
  ]);
});

test("readTar() reads what another writer wrote", async () => {
  const archive = new Uint8Array(
    createTar([
      { name: "a.txt", data: "one" },
      { name: "dir/b.txt", data: "two" },
    ]),
  );
  expect((await read(archive, 512)).map(({ name, body }) => [name, decode(body)])).toEqual([
    ["a.txt", "one"],
    ["dir/b.txt", "two"],
  ]);
});

test("writeTar() gives equal bytes for equal entries", async () => {
  const entries = [file("a", encode("1")), file("b", encode("2"))];
  expect(await write(entries)).toEqual(await write(entries));
});

test("writeTar() refuses a body that is not as long as was said", async () => {
  for (const size of [1, 5]) {
    const wrong: NewEntry = { name: "x", type: "file", size, body: async () => streamOf(encode("abc")) };
    expect(hasCode(await write([wrong]).catch((e: unknown) => e), "mismatch")).toBe(true);
  }
});

test("writeTar() clamps times that a header cannot hold", async () => {
  for (const mtime of [-5, 9e9])
    expect(await read(await write([{ name: "x", type: "file", size: 0, mtime }]), 512)).toHaveLength(1);
});

test("readTar() never throws anything but bad-archive, whatever the bytes", async () => {
  const whole = await write([file("a", encode("x".repeat(700))), file("b".repeat(150), encode("y"))]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(whole.byteLength - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
      async (changes) => {
        const bytes = whole.slice();
        for (const [at, value] of changes) bytes[at] = value;
        const result = await read(bytes, 600).catch((error: unknown) => error);
        expect(Array.isArray(result) || hasCode(result, "bad-archive")).toBe(true);
      },
    ),
    { numRuns: 500 },
  );
});

test("every cut of an archive is an error, or lacks only the end marker", async () => {
  const whole = await write([file("a", encode("hello")), file("b", encode("world"))]);
  for (let length = 1; length < whole.byteLength; length += 37) {
    const result = await read(whole.slice(0, length), 512).catch((error: unknown) => error);
    if (Array.isArray(result)) expect(length % 512 === 0 || length > whole.byteLength - 1024).toBe(true);
    else expect(hasCode(result, "bad-archive", "cut-archive")).toBe(true);
  }
});

test("a body that is not read is skipped", async () => {
  const seen: string[] = [];
  for await (const entry of readTar(
    streamOf(await write([file("a", encode("x".repeat(2000))), file("b", encode("y"))])),
  ))
    seen.push(entry.name);
  expect(seen).toEqual(["a", "b"]);
});

test("a PAX record of the wrong length is refused", async () => {
  const broken = pax({ path: "a" });
  await expect(
    read(rawTar([{ ...broken, body: encode("99 path=a\n") }, { name: "x" }]), 512),
  ).rejects.toThrow("malformed record");
});
