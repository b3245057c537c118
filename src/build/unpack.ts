import { chmod, link, lstat, mkdir, open, readlink, rm, symlink, utimes } from "node:fs/promises";
import { join, posix } from "node:path";
import type { ByteStream } from "../bytes.ts";
import { decompressed } from "../compression.ts";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { anyOf, trimEnd } from "../scanner.ts";
import { bad, shown } from "../tar/header.ts";
import { readTar, type TarEntry } from "../tar/read.ts";

/** How many links with `..` after a name an archive may hold: each is checked again at the end. */
const MOST_WINDING = 10_000;

/** What is put below a directory; a file's content is streamed, or put where it belongs by `place`. */
export interface Unpackable extends Pick<TarEntry, "name" | "type" | "linkname" | "mode" | "mtime"> {
  body?: ByteStream;
  /** Makes the file, with whatever mode and time. */
  place?(target: string): Promise<void>;
}

/**
 * Unpacks a project's source into a directory that is empty and its own: files,
 * directories, and links that stay inside. Whatever points or climbs out is
 * refused, and nothing is written through a link.
 */
export async function unpack(archive: ByteStream, root: string, signal?: AbortSignal): Promise<void> {
  await unpackEntries(readTar(decompressed(archive)), root, signal);
}

/** The same for entries of any archive, and into a directory that was filled this way before. */
export async function unpackEntries(
  entries: AsyncIterable<Unpackable>,
  root: string,
  signal?: AbortSignal,
): Promise<void> {
  const unpacker = new Unpacker(root);
  for await (const entry of entries) {
    signal?.throwIfAborted();
    await unpacker.take(entry).catch((error: unknown) => {
      throw systemError(`Cannot unpack ${shown(entry.name)}`, error);
    });
  }
  await unpacker.finish();
}

class Unpacker {
  readonly #root: string;
  /** Directories that are known to be real ones. */
  readonly #known = new Set<string>([""]);
  /** A directory's mode and time come last: what is put in it would change them. */
  readonly #directories = new Map<string, Unpackable>();
  /** Links with `..` after a name: where they lead is known only when everything is unpacked. */
  readonly #winding = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  async take(entry: Unpackable): Promise<void> {
    const path = inside(entry.name, "", entry);
    if (path === "") return;
    await this.#makeParents(path, entry);
    if (entry.type === "directory") return await this.#directory(path, entry);
    const target = join(this.#root, path);
    await rm(target, { recursive: true, force: true });
    this.#forget(path);
    if (entry.type === "file") await writeFile(target, entry);
    else if (entry.type === "symlink") await this.#symlink(path, entry);
    else if (entry.type === "hardlink") await this.#hardlink(target, entry);
    else if (entry.type !== "other") throw bad(`entry ${shown(entry.name)} is a ${entry.type}`);
  }

  async #directory(path: string, entry: Unpackable): Promise<void> {
    await this.#makeDirectory(path, entry);
    this.#directories.set(path, entry);
  }

  async #makeParents(path: string, entry: Unpackable): Promise<void> {
    const names = path.split("/").slice(0, -1);
    for (let i = 1; i <= names.length; i++) await this.#makeDirectory(names.slice(0, i).join("/"), entry);
  }

  async #makeDirectory(path: string, entry: Unpackable): Promise<void> {
    if (this.#known.has(path)) return;
    const target = join(this.#root, path);
    await mkdir(target, { mode: 0o755 }).catch(async (error: unknown) => {
      if (systemCode(error) !== "EEXIST") throw error;
      if (!(await lstat(target)).isDirectory())
        throw bad(`entry ${shown(entry.name)} lies below ${shown(path)}, which is no directory`);
    });
    this.#known.add(path);
  }

  /** Something else stands there now. */
  #forget(path: string): void {
    if (!this.#known.has(path)) return;
    for (const known of this.#known)
      if (known === path || known.startsWith(`${path}/`)) {
        this.#known.delete(known);
        this.#directories.delete(known);
      }
  }

  async #symlink(path: string, entry: Unpackable): Promise<void> {
    inside(entry.linkname, parentOf(path), entry);
    if (isWinding(entry.linkname)) this.#winding.add(path);
    if (this.#winding.size > MOST_WINDING) throw bad("it has too many links with `..` behind a name");
    await symlink(entry.linkname, join(this.#root, path));
  }

  /** Throws unless every name before a `..` is a directory: after a link, `..` leads elsewhere than the text says. */
  async #checkWinding(path: string): Promise<void> {
    const linkname = await readlink(join(this.#root, path)).catch(() => "");
    const at = names(parentOf(path));
    for (const name of names(linkname)) {
      if (name !== "..") at.push(name);
      else if (await this.#isDirectory(at.join("/"))) at.pop();
      else throw leadsOut({ name: path }, linkname);
    }
  }

  async #hardlink(target: string, entry: Unpackable): Promise<void> {
    const source = inside(entry.linkname, "", entry);
    if (!(await this.#isDirectory(parentOf(source))))
      throw bad(`entry ${shown(entry.name)} links to ${shown(entry.linkname)}, which is not in the archive`);
    if (!(await lstat(join(this.#root, source))).isFile())
      throw bad(`entry ${shown(entry.name)} links to ${shown(entry.linkname)}, which is no file`);
    await link(join(this.#root, source), target);
  }

  /** Itself, and all that it lies in: no link to one. */
  async #isDirectory(path: string): Promise<boolean> {
    if (this.#known.has(path)) return true;
    if (!(await this.#isDirectory(parentOf(path)))) return false;
    const info = await lstat(join(this.#root, path)).catch(() => undefined);
    if (info?.isDirectory()) this.#known.add(path);
    return info?.isDirectory() ?? false;
  }

  async finish(): Promise<void> {
    for (const path of this.#winding) await this.#checkWinding(path);
    for (const [path, { mode, mtime }] of [...this.#directories].reverse()) {
      await chmod(join(this.#root, path), (mode & 0o777) | 0o700);
      await utimes(join(this.#root, path), mtime, mtime);
    }
  }
}

/** The place that a name below `from` means, without `.` and `..`; "" is the root itself. */
function inside(name: string, from: string, entry: Unpackable): string {
  const path = trimEnd(posix.normalize(posix.join(from, name)), anyOf("/"));
  const out = name.includes("\0") || name.startsWith("/") || path === ".." || path.startsWith("../");
  if (out) throw leadsOut(entry, name);
  return path === "." ? "" : path;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

function names(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** Whether a link's target has a `..` after a name. */
function isWinding(linkname: string): boolean {
  const all = names(linkname);
  const down = all.findIndex((name) => name !== "..");
  return down >= 0 && all.includes("..", down);
}

function leadsOut(entry: Pick<Unpackable, "name">, name: string): DavitError {
  const what = entry.name === name ? "" : `, a link to ${shown(name)},`;
  return new DavitError(
    "bad-archive",
    `Cannot unpack the source: entry ${shown(entry.name)}${what} leads out of it`,
    { hint: "make the archive from inside the project, without links that leave it" },
  );
}

async function writeFile(target: string, entry: Unpackable): Promise<void> {
  if (entry.place) {
    await entry.place(target);
    await chmod(target, (entry.mode & 0o777) | 0o400);
    return await utimes(target, entry.mtime, entry.mtime);
  }
  const file = await open(target, "wx", 0o600);
  try {
    for await (const chunk of entry.body ?? [])
      for (let done = 0; done < chunk.byteLength; )
        done += (await file.write(chunk, done, chunk.byteLength - done)).bytesWritten;
    await file.chmod((entry.mode & 0o777) | 0o400);
    await file.utimes(entry.mtime, entry.mtime);
  } finally {
    await file.close();
  }
}
