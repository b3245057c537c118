import { closeSync, fstatSync, openSync, readSync, renameSync, rmSync, writeSync } from "node:fs";
import { decode, encode } from "../bytes.ts";
import { DavitError, systemError } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import { checkJson, type Static, Type } from "../schema.ts";
import { type Hash, hashOf, parseListing, type TreeEntry } from "./listing.ts";

/*
 * Listings of a tree in one file, for trees are larger than memory should be: the listings
 * one after the other, then a table of where each is, then where that table is.
 */

/** Written last, as so many digits: where the table begins. */
const TAIL = 16;
/** A listing becomes so many times its length in memory when it is parsed, and garbage soon. */
const PARSED = 16;
/** Listings that wait to be written, in bytes. */
const BATCH = 256 * 1024;

const Row = Type.Object({
  /** From the root; "" is the root itself. */
  path: Type.String(),
  hash: Type.String(),
  /** Where its listing is in the file, and how long, in bytes. */
  at: Type.Integer({ minimum: 0 }),
  length: Type.Integer({ minimum: 0 }),
  /** What is kept beside the listing, right after it. */
  beside: Type.Integer({ minimum: 0 }),
});
export type TreeDirectory = Static<typeof Row>;

const Table = Type.Array(Row);

/** Writes a tree's file; it is there under its name once it is whole. */
export class TreeWriter {
  readonly #path: string;
  readonly #part: string;
  readonly #fd: number;
  readonly #rows: TreeDirectory[] = [];
  #waiting = "";
  /** Bytes written, and those that wait. */
  #at = 0;

  constructor(path: string) {
    this.#path = path;
    this.#part = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
    try {
      this.#fd = openSync(this.#part, "wx", 0o600);
    } catch (error) {
      throw systemError(`Cannot write ${path}`, error);
    }
  }

  add(path: string, listing: string, beside = ""): Hash {
    const hash = hashOf(listing);
    const [length, more] = [Buffer.byteLength(listing), Buffer.byteLength(beside)];
    this.#rows.push({ path, hash, at: this.#at, length, beside: more });
    this.#put(listing + beside);
    this.#at += length + more;
    return hash;
  }

  #put(text: string): void {
    this.#waiting += text;
    if (this.#waiting.length >= BATCH) this.#flush();
  }

  #flush(): void {
    const bytes = encode(this.#waiting);
    this.#waiting = "";
    try {
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(this.#fd, bytes, done);
    } catch (error) {
      throw systemError(`Cannot write ${this.#path}`, error);
    }
  }

  /** Opens what was written, under its name now. */
  finish(): TreeFile {
    this.#put(JSON.stringify(this.#rows) + String(this.#at).padStart(TAIL, "0"));
    this.#flush();
    closeSync(this.#fd);
    renameSync(this.#part, this.#path);
    return TreeFile.open(this.#path);
  }

  abort(): void {
    closeSync(this.#fd);
    rmSync(this.#part, { force: true });
  }
}

/** A tree's file, to be read. */
export class TreeFile implements Disposable {
  readonly #fd: number;
  readonly directories: readonly TreeDirectory[];
  readonly #garbage = new Garbage();
  readonly #byPath = new Map<string, TreeDirectory>();
  readonly #byHash = new Map<Hash, TreeDirectory>();

  private constructor(fd: number, directories: TreeDirectory[]) {
    this.#fd = fd;
    this.directories = directories;
    for (const row of directories) {
      this.#byPath.set(row.path, row);
      this.#byHash.set(row.hash, row);
    }
  }

  static open(path: string): TreeFile {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      throw systemError(`Cannot read ${path}`, error);
    }
    try {
      const { size } = fstatSync(fd);
      const table = Number(decode(readAt(fd, size - TAIL, TAIL)));
      const rows = readAt(fd, table, size - TAIL - table);
      return new TreeFile(fd, checkJson(Table, decode(rows), path));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** The same; undefined where there is none that can be read. */
  static openIfGood(path: string): TreeFile | undefined {
    try {
      return TreeFile.open(path);
    } catch {
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  at(path: string): TreeDirectory | undefined {
    return this.#byPath.get(path);
  }

  /** A directory of this content, wherever it is. */
  find(hash: Hash): TreeDirectory | undefined {
    return this.#byHash.get(hash);
  }

  /** A directory after all that lie in it. They were written in that order, so they stand together. */
  below(path: string): TreeDirectory[] {
    const last = this.directories.findIndex((directory) => directory.path === path);
    const inside = path === "" ? "" : `${path}/`;
    let first = last;
    while (first > 0 && this.directories[first - 1]?.path.startsWith(inside)) first--;
    return this.directories.slice(Math.max(first, 0), last + 1);
  }

  listing({ at, length }: TreeDirectory): string {
    return decode(readAt(this.#fd, at, length));
  }

  entries(directory: TreeDirectory): TreeEntry[] {
    this.#garbage.made(directory.length * PARSED);
    return parseListing(this.listing(directory));
  }

  beside({ at, length, beside }: TreeDirectory): string {
    return decode(readAt(this.#fd, at + length, beside));
  }
}

function readAt(fd: number, at: number, length: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(Math.max(length, 0));
  if (length < 0 || at < 0 || readSync(fd, bytes, 0, length, at) !== length)
    throw new DavitError("io", "Cannot read the tree's file: it is not whole");
  return bytes;
}
