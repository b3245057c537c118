import { DavitError } from "../errors.ts";
import { type Hash, parseListing, type TreeEntry } from "./listing.ts";
import type { TreeDirectory, TreeFile } from "./tree-file.ts";

/** Names a tree may have, as an archive may. */
const MAX_NAMES = 1_000_000;
/** A directory may be so deep: a path is no longer than an archive's. */
const MAX_PATH = 4096;
/** Content may be there this many times, once past the allowance: what was sent once could fill the disk. */
const MAX_COPIES = 200;
const ALLOWANCE = 64 * 1024 * 1024;

export type Change =
  | { kind: "remove"; path: string }
  | { kind: "put"; path: string; entry: TreeEntry; before: TreeEntry | undefined }
  /** What a directory lists now; after all that lies in it. */
  | { kind: "list"; path: string; listing: string }
  /** A directory with all that lies in it is as it was. */
  | { kind: "same"; path: string };

/** Listings by their hashes: those that were sent, and those of the tree before. */
export class Listings {
  readonly before: TreeFile | undefined;
  readonly #sent: TreeFile;

  constructor(before: TreeFile | undefined, sent: TreeFile) {
    this.before = before;
    this.#sent = sent;
  }

  text(hash: Hash): string {
    const sent = this.#sent.find(hash);
    if (sent) return this.#sent.listing(sent);
    const known = this.before?.find(hash);
    if (!this.before || !known) throw outdated();
    return this.before.listing(known);
  }
}

/** The rack holds something else than the sender was told. */
export function outdated(): DavitError {
  return new DavitError("outdated", "the source that this one differs from has changed meanwhile");
}

/** Paths whose content, mode or kind is not the same in two trees; times do not count. */
export function* changedPaths(before: TreeFile, now: TreeFile): Generator<string> {
  for (const change of changes(new Listings(before, now), now.at("")?.hash ?? "")) {
    if (change.kind === "remove") yield change.path;
    if (change.kind !== "put") continue;
    const { path, entry, before: old } = change;
    const same = old && old.mode === entry.mode && old.target === entry.target;
    if (!same || (entry.type !== "directory" && old.hash !== entry.hash)) yield path;
  }
}

/** What makes the tree before into the tree of `root`: in walk order, a directory before what is in it. */
export function* changes(listings: Listings, root: Hash): Generator<Change> {
  yield* new Differ(listings).directory("", root, listings.before?.at(""));
}

class Differ {
  readonly #listings: Listings;
  readonly #seen = new Set<Hash>();
  #names = 0;
  #total = 0;
  #distinct = 0;

  constructor(listings: Listings) {
    this.#listings = listings;
  }

  *directory(path: string, hash: Hash, old: TreeDirectory | undefined): Generator<Change> {
    if (old?.hash === hash) return yield { kind: "same", path };
    const listing = this.#listings.text(hash);
    const entries = parseListing(listing);
    this.#count(entries);
    const before = new Map(old ? this.#before(old).map((entry) => [entry.name, entry]) : []);
    const names = new Set(entries.map(({ name }) => name));
    if (names.size !== entries.length)
      throw new DavitError("invalid", "Cannot read the source's tree: a directory lists a name twice");
    for (const name of before.keys()) if (!names.has(name)) yield { kind: "remove", path: join(path, name) };
    for (const entry of entries) yield* this.#entry(join(path, entry.name), entry, before.get(entry.name));
    yield { kind: "list", path, listing };
  }

  *#entry(path: string, entry: TreeEntry, before: TreeEntry | undefined): Generator<Change> {
    if (path.length > MAX_PATH) throw new DavitError("invalid", "a path of the source is too long");
    const stays = before?.type === entry.type;
    if (before && !stays) yield { kind: "remove", path };
    if (!stays || !isSame(before, entry))
      yield { kind: "put", path, entry, before: stays ? before : undefined };
    if (entry.type !== "directory") return;
    yield* this.directory(path, entry.hash, stays ? this.#listings.before?.at(path) : undefined);
  }

  #before(directory: TreeDirectory): TreeEntry[] {
    return this.#listings.before?.entries(directory) ?? [];
  }

  /** A few listings can describe more than any disk holds. */
  #count(entries: TreeEntry[]): void {
    this.#names += entries.length;
    for (const { type, size, hash } of entries) {
      if (type !== "file") continue;
      this.#total += size;
      if (!this.#seen.has(hash)) this.#distinct += size;
      this.#seen.add(hash);
    }
    if (this.#names > MAX_NAMES)
      throw new DavitError("invalid", `the source has more than ${MAX_NAMES} names`);
    if (this.#total > ALLOWANCE + MAX_COPIES * this.#distinct)
      throw new DavitError("invalid", `the source holds the same content more than ${MAX_COPIES} times`);
  }
}

function isSame(a: TreeEntry, b: TreeEntry): boolean {
  return (
    a.mode === b.mode &&
    a.mtimeNs === b.mtimeNs &&
    a.size === b.size &&
    a.hash === b.hash &&
    a.target === b.target
  );
}

function join(path: string, name: string): string {
  return path === "" ? name : `${path}/${name}`;
}
