import { closeSync, readSync } from "node:fs";
import { join } from "node:path";
import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Root } from "../root.ts";
import { type NewEntry, writeTar } from "../tar/write.ts";
import type { Bits } from "./bits.ts";
import { type Spoken, writeDocument } from "./document.ts";
import type { Hash, TreeEntry } from "./listing.ts";
import type { TreeDirectory, TreeFile } from "./tree-file.ts";

/** What the listings are called in a delta; every other member is called by its hash. */
export const LISTINGS = "listings";

const PIECE = 256 * 1024;

/** What the other side lacks of a tree. */
export interface Lacking {
  /** Directories whose listings it has not. */
  listings: ReadonlySet<Hash>;
  /** Of the files that those listings name, one after the other, which to send. */
  files: Bits;
}

/** Every directory once, by its hash; those in `whole` with their listings. */
export function* spokenOf(
  tree: TreeFile,
  whole: ReadonlySet<Hash>,
  rest: "named" | "left out",
): Generator<Spoken> {
  for (const directory of once(tree)) {
    const { hash } = directory;
    if (whole.has(hash)) yield { hash, listing: tree.listing(directory) };
    else if (rest === "named") yield { hash };
  }
}

function once(tree: TreeFile): TreeDirectory[] {
  return tree.directories.filter((directory) => tree.find(directory.hash) === directory);
}

/** A tar of what is lacking: the listings, then each file's content once. `onBytes` is told of content as it leaves. */
export function writeDelta(
  root: Root,
  tree: TreeFile,
  lacking: Lacking,
  onBytes: (bytes: number) => void,
): ByteStream {
  return writeTar(members(root, tree, lacking, onBytes));
}

async function* members(
  root: Root,
  tree: TreeFile,
  { listings, files }: Lacking,
  onBytes: (bytes: number) => void,
): AsyncGenerator<NewEntry> {
  const document = (): Iterable<Bytes> => writeDocument(spokenOf(tree, listings, "left out"));
  let size = 0;
  for (const chunk of document()) size += chunk.byteLength;
  yield { name: LISTINGS, type: "file", size, body: () => streamed(document()) };
  let count = 0;
  for (const directory of once(tree)) {
    if (!listings.has(directory.hash)) continue;
    for (const entry of tree.entries(directory))
      if (entry.type === "file" && files.has(count++))
        yield member(root, join(directory.path, entry.name), entry, onBytes);
  }
}

function member(
  root: Root,
  path: string,
  { size, hash }: TreeEntry,
  onBytes: (bytes: number) => void,
): NewEntry {
  return { name: hash, type: "file", size, body: () => content(root, path, size, onBytes) };
}

async function* streamed(chunks: Iterable<Bytes>): AsyncGenerator<Bytes> {
  yield* chunks;
}

/** Just so many bytes. Whether they are those that were hashed the reader finds out. */
async function* content(
  root: Root,
  path: string,
  size: number,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Bytes> {
  const fd = root.openFoundSync(path);
  const buffer = new Uint8Array(Math.min(PIECE, size));
  try {
    for (let at = 0; at < size; ) {
      const count = readSync(fd, buffer, 0, Math.min(buffer.byteLength, size - at), at);
      if (count === 0)
        throw new DavitError("outdated", `Cannot read ${root.show(path)}: it shrank while it was read`);
      at += count;
      yield buffer.subarray(0, count);
      onBytes(count);
    }
  } finally {
    closeSync(fd);
  }
}
