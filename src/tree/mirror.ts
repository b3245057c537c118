import { rmSync, statSync } from "node:fs";
import { copyFile, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Unpackable, unpackEntries } from "../build/unpack.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { Slices } from "../slices.ts";
import { readTar, type TarEntry } from "../tar/read.ts";
import { Bits } from "./bits.ts";
import { type Change, changes, Listings, outdated } from "./changes.ts";
import { type Lacking, LISTINGS } from "./delta.ts";
import { readDocument, type Spoken } from "./document.ts";
import { type Hash, isHash, parseListing, type TreeEntry } from "./listing.ts";
import { TreeFile, TreeWriter } from "./tree-file.ts";

/**
 * A directory that follows the source of somebody elsewhere, from one of its states to
 * the next. `index` describes what is in `tree`, and is not there while that changes:
 * a mirror without it begins anew. Content is kept by its hash in `loose` until it is put where
 * it belongs: what a broken transfer brought is there for the next, to whichever mirror of the app.
 */
export class Mirror {
  readonly #dir: string;
  readonly #loose: string;

  constructor(dir: string, loose: string) {
    this.#dir = dir;
    this.#loose = loose;
  }

  /** Where the source is, once it is whole. */
  get tree(): string {
    return join(this.#dir, "tree");
  }

  get #index(): string {
    return join(this.#dir, "index");
  }

  /** Of the directories a document names, how many are here. */
  known(hashes: readonly Hash[]): number {
    using file = TreeFile.openIfGood(this.#index);
    return file ? hashes.filter((hash) => file.find(hash)).length : 0;
  }

  /** What of a document is not here: directories that it only names, and files of those it lists. */
  async lacking(document: Iterable<Spoken>): Promise<Lacking> {
    using before = TreeFile.openIfGood(this.#index);
    const listings = new Set<Hash>();
    /** Where each content is first named, among all the files that the document lists. */
    const wanted = new Map<Hash, number>();
    let count = 0;
    const slices = new Slices();
    for (const { hash, listing } of document) {
      await slices.next();
      const known = before?.find(hash) !== undefined;
      if (listing === undefined && !known) listings.add(hash);
      for (const entry of parseListing(listing ?? "")) {
        if (entry.type !== "file") continue;
        if (!known && !wanted.has(entry.hash)) wanted.set(entry.hash, count);
        count++;
      }
    }
    for (const name of await this.#atHand()) wanted.delete(name);
    for (const { hash } of files(before, wanted)) wanted.delete(hash);
    return { listings, files: Bits.of(count, wanted.values()) };
  }

  async #atHand(): Promise<string[]> {
    return await readdir(this.#loose).catch(() => []);
  }

  /** Becomes the tree of `root` by a delta. Throws `outdated` where that is not enough. */
  async update(root: Hash, delta: ByteStream, signal: AbortSignal): Promise<void> {
    try {
      using sent = await this.#receive(delta, signal);
      using before = TreeFile.openIfGood(this.#index);
      await this.#become(root, new Listings(before, sent), signal);
    } catch (error) {
      throw systemError("Cannot keep the source", error);
    } finally {
      rmSync(join(this.#dir, "sent"), { force: true });
    }
  }

  async #receive(delta: ByteStream, signal: AbortSignal): Promise<TreeFile> {
    await mkdir(this.#loose, { recursive: true, mode: 0o700 });
    let sent: TreeFile | undefined;
    for await (const entry of readTar(delta)) {
      signal.throwIfAborted();
      if (sent) await this.#keep(entry);
      else if (entry.name === LISTINGS) sent = await this.#list(entry.body);
      else break;
    }
    if (!sent) throw new DavitError("invalid", "Cannot read the source: its listings do not come first");
    return sent;
  }

  async #list(body: ByteStream): Promise<TreeFile> {
    const writer = new TreeWriter(join(this.#dir, "sent"));
    try {
      for await (const { hash, listing } of readDocument(body))
        if (listing !== undefined) writer.add(hash, listing);
      return writer.finish();
    } catch (error) {
      writer.abort();
      throw error;
    }
  }

  async #keep({ name, body }: TarEntry): Promise<void> {
    if (!isHash(name))
      throw new DavitError("invalid", "Cannot read the source: a member is not named by its hash");
    await this.#whole(name, async (part) => {
      const hasher = new Bun.CryptoHasher("sha256");
      const file = await open(part, "wx", 0o600);
      try {
        for await (const chunk of body) {
          hasher.update(chunk);
          for (let done = 0; done < chunk.byteLength; ) done += (await file.write(chunk, done)).bytesWritten;
        }
      } finally {
        await file.close();
      }
      // Who sends it looked at it before, and it has changed since.
      if (hasher.digest("hex") !== name) throw outdated();
    });
  }

  /** Content is at hand under its name when all of it is; another mirror may be making the same. */
  async #whole(hash: Hash, make: (part: string) => Promise<void>): Promise<void> {
    const path = join(this.#loose, hash);
    const part = `${path}.${crypto.randomUUID()}.part`;
    try {
      await make(part);
      await rename(part, path);
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  }

  async #become(root: Hash, listings: Listings, signal: AbortSignal): Promise<void> {
    const uses = await this.#gather(listings, root);
    if (!listings.before) await rm(this.tree, { recursive: true, force: true });
    await mkdir(this.tree, { recursive: true, mode: 0o700 });
    await rm(this.#index, { force: true });
    const writer = new TreeWriter(this.#index);
    try {
      await this.#apply(changes(listings, root), listings, writer, uses, signal);
      writer.finish()[Symbol.dispose]();
    } catch (error) {
      writer.abort();
      throw error;
    }
  }

  /** Makes sure of all content before anything is touched; says how often each is needed. */
  async #gather(listings: Listings, root: Hash): Promise<Map<Hash, number>> {
    const uses = new Map<Hash, number>();
    const sizes = new Map<Hash, number>();
    const slices = new Slices();
    for (const change of changes(listings, root)) {
      if (slices.over) await slices.next();
      if (change.kind !== "put" || change.entry.type !== "file") continue;
      const { hash, size } = change.entry;
      uses.set(hash, (uses.get(hash) ?? 0) + 1);
      if ((sizes.get(hash) ?? size) !== size) throw wrongSize();
      sizes.set(hash, size);
    }
    const missing = new Set(uses.keys());
    for (const name of await this.#atHand()) missing.delete(name);
    for (const { hash, path } of files(listings.before, missing)) {
      if (!missing.delete(hash)) continue;
      await this.#whole(hash, (part) => copyFile(join(this.tree, path), part));
    }
    if (missing.size > 0) throw outdated();
    for (const [hash, size] of sizes) {
      if (slices.over) await slices.next();
      const file = statSync(join(this.#loose, hash), { throwIfNoEntry: false });
      // Another mirror has taken it.
      if (!file) throw outdated();
      if (file.size !== size) throw wrongSize();
    }
    return uses;
  }

  async #apply(
    list: Iterable<Change>,
    { before }: Listings,
    writer: TreeWriter,
    uses: Map<Hash, number>,
    signal: AbortSignal,
  ): Promise<void> {
    const { tree } = this;
    const place = (hash: Hash): Unpackable["place"] => this.#placer(hash, uses);
    async function* entries(): AsyncGenerator<Unpackable> {
      for (const change of list) {
        if (change.kind === "put") yield unpackable(change.path, change.entry, place);
        else if (change.kind === "remove")
          await rm(join(tree, change.path), { recursive: true, force: true });
        else if (change.kind === "list") writer.add(change.path, change.listing);
        else if (before)
          for (const row of before.below(change.path)) writer.add(row.path, before.listing(row));
      }
    }
    await unpackEntries(entries(), tree, signal);
  }

  /** The last place takes the file itself. */
  #placer(hash: Hash, uses: Map<Hash, number>): Unpackable["place"] {
    const from = join(this.#loose, hash);
    return async (target) => {
      const left = (uses.get(hash) ?? 1) - 1;
      uses.set(hash, left);
      await (left > 0 ? copyFile(from, target) : rename(from, target)).catch((error: unknown) => {
        // Another mirror has taken it.
        throw systemCode(error) === "ENOENT" ? outdated() : error;
      });
    };
  }
}

/** How much a tree takes of the disk is judged by the sizes that it lists. */
function wrongSize(): DavitError {
  return new DavitError("invalid", "Cannot keep the source: a file is not as long as its listing says");
}

/** Files of a tree that have a wanted content. */
function* files(
  tree: TreeFile | undefined,
  wanted: Pick<ReadonlySet<Hash>, "has" | "size">,
): Generator<{ hash: Hash; path: string }> {
  if (!tree || wanted.size === 0) return;
  for (const directory of tree.directories)
    for (const { type, hash, name } of tree.entries(directory))
      if (type === "file" && wanted.has(hash))
        yield { hash, path: directory.path === "" ? name : `${directory.path}/${name}` };
}

function unpackable(path: string, entry: TreeEntry, place: (hash: Hash) => Unpackable["place"]): Unpackable {
  const { mode, target: linkname, hash } = entry;
  const type = entry.type === "link" ? "hardlink" : entry.type;
  const put = type === "file" ? place(hash) : undefined;
  const mtime = Number(entry.mtimeNs) / 1e9;
  return { name: path, type, mode, mtime, linkname, ...(put ? { place: put } : {}) };
}
