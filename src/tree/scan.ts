import { closeSync, readlinkSync, readSync } from "node:fs";
import { join } from "node:path";
import { type Context, type ContextItem, walkContext } from "../build/context.ts";
import { DavitError } from "../errors.ts";
import type { Root } from "../root.ts";
import { formatEntry, type Hash, type TreeEntry } from "./listing.ts";
import { TreeFile, TreeWriter } from "./tree-file.ts";

/** A file that changed so recently may change again within the same tick of its clock, in nanoseconds. */
const TOO_FRESH = 2_000_000_000n;
const PIECE = 256 * 1024;
/** Bytes that are hashed between looks at what else there is to do. */
const TURN = 16 * 1024 * 1024;

/**
 * Describes a context as a tree, in a file at `path`. What that file says from before is
 * believed of files whose size and times are the same, so only what changed is read.
 * `onHashed` is told of bytes that were. Dockerfile and ignore files are there whatever is
 * ignored, unless they are not `forced`.
 */
export async function scanTree(
  context: Context,
  path: string,
  onHashed: (bytes: number) => void,
  { forced = true } = {},
): Promise<TreeFile> {
  using before = TreeFile.openIfGood(path);
  const writer = new TreeWriter(path);
  try {
    const scan = new Scan(context.root, writer, before, onHashed);
    for await (const item of walkContext(context, forced)) await scan.take(item);
    scan.end();
    return writer.finish();
  } catch (error) {
    writer.abort();
    throw error;
  }
}

/** What was known of a file: it has the content it had while its size and times are those. */
interface Known {
  entry: TreeEntry;
  changedNs: string;
}

/** A directory whose names are being read. */
interface Open {
  path: string;
  /** How its parent lists it; the root has no parent. */
  item: ContextItem | undefined;
  listing: string;
  /** When each file's inode changed, in nanoseconds; "" where that is not to be trusted. */
  changes: string[];
  known: Map<string, Known>;
}

/** Gathers a walk's items by directory. They come in depth first: whatever lies elsewhere ends those that are open. */
class Scan {
  readonly #root: Root;
  readonly #writer: TreeWriter;
  readonly #before: TreeFile | undefined;
  readonly #onHashed: (bytes: number) => void;
  readonly #now = BigInt(Date.now()) * 1_000_000n;
  /** First names of files that have several, by inode. */
  readonly #links = new Map<string, { path: string; hash: Hash }>();
  readonly #open: Open[];
  readonly #buffer = Buffer.allocUnsafe(PIECE);
  #turn = 0;

  constructor(
    root: Root,
    writer: TreeWriter,
    before: TreeFile | undefined,
    onHashed: (bytes: number) => void,
  ) {
    this.#root = root;
    this.#writer = writer;
    this.#before = before;
    this.#onHashed = onHashed;
    this.#open = [this.#enter("", undefined)];
  }

  #enter(path: string, item: ContextItem | undefined): Open {
    return { path, item, listing: "", changes: [], known: this.#knownOf(path) };
  }

  #knownOf(path: string): Map<string, Known> {
    const before = this.#before;
    const directory = before?.at(path);
    if (!before || !directory) return new Map();
    const changes = before.beside(directory).split(" ");
    return new Map(
      before.entries(directory).map((entry, i) => [entry.name, { entry, changedNs: changes[i] ?? "" }]),
    );
  }

  async take(item: ContextItem): Promise<void> {
    const cut = item.path.lastIndexOf("/");
    const parent = this.#parent(cut < 0 ? "" : item.path.slice(0, cut));
    if (item.type === "directory") {
      this.#open.push(this.#enter(item.path, item));
      return;
    }
    // What unpacks a source knows no pipes either.
    if (item.type === "fifo") return;
    const name = item.path.slice(cut + 1);
    this.#add(parent, await this.#entry(item, name, parent.known.get(name)), item.changedNs);
  }

  #parent(path: string): Open {
    for (;;) {
      const top = this.#open.at(-1);
      if (!top) throw new DavitError("io", `Cannot list ${path}: it came in no order`);
      if (top.path === path) return top;
      this.#leave(top);
    }
  }

  /** A directory's name is known when all below it is. */
  #leave(top: Open): void {
    this.#open.pop();
    const hash = this.#writer.add(top.path, top.listing, top.changes.join(" "));
    const parent = this.#open.at(-1);
    if (!parent || !top.item) return;
    const { mode, mtimeNs, changedNs } = top.item;
    const name = top.path.slice(top.path.lastIndexOf("/") + 1);
    this.#add(parent, { type: "directory", name, mode, mtimeNs, size: 0, hash, target: "" }, changedNs);
  }

  #add(to: Open, entry: TreeEntry, changedNs: bigint): void {
    to.listing += formatEntry(entry);
    to.changes.push(this.#now - changedNs > TOO_FRESH ? String(changedNs) : "");
  }

  end(): void {
    for (let top = this.#open.at(-1); top; top = this.#open.at(-1)) this.#leave(top);
  }

  async #entry(item: ContextItem, name: string, known: Known | undefined): Promise<TreeEntry> {
    const { mode, mtimeNs, size } = item;
    if (item.type === "symlink") {
      const target = readlinkSync(join(this.#root.path, item.path));
      return { type: "symlink", name, mode, mtimeNs, size: 0, hash: "", target };
    }
    const first = item.inode === "" ? undefined : this.#links.get(item.inode);
    if (first) return { type: "link", name, mode, mtimeNs, size, hash: first.hash, target: first.path };
    const hash = isSame(item, known) ? known.entry.hash : await this.#hash(item.path, size);
    if (item.inode !== "") this.#links.set(item.inode, { path: item.path, hash });
    return { type: "file", name, mode, mtimeNs, size, hash, target: "" };
  }

  /** Read without threads: of many small files, handing over takes longer than reading. */
  async #hash(path: string, size: number): Promise<Hash> {
    const hasher = new Bun.CryptoHasher("sha256");
    const fd = this.#root.openFoundSync(path);
    try {
      for (let at = 0; at < size; ) {
        const count = readSync(fd, this.#buffer, 0, Math.min(PIECE, size - at), at);
        if (count === 0)
          throw new DavitError(
            "outdated",
            `Cannot read ${this.#root.show(path)}: it shrank while it was read`,
            {
              hint: "build again",
            },
          );
        hasher.update(this.#buffer.subarray(0, count));
        at += count;
        await this.#pause(count);
      }
    } finally {
      closeSync(fd);
    }
    return hasher.digest("hex");
  }

  async #pause(bytes: number): Promise<void> {
    this.#turn += bytes;
    if (this.#turn < TURN) return;
    this.#onHashed(this.#turn);
    this.#turn = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function isSame(item: ContextItem, known: Known | undefined): known is Known {
  return (
    known !== undefined &&
    known.entry.type === "file" &&
    known.entry.size === item.size &&
    known.entry.mtimeNs === item.mtimeNs &&
    known.changedNs === String(item.changedNs)
  );
}
