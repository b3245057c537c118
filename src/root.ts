import type { Stats } from "node:fs";
import { type FileHandle, lstat, readlink, realpath } from "node:fs/promises";
import { join, resolve, sep } from "node:path";
import { DavitError, hasCode, systemError } from "./errors.ts";
import { openPlain, openPlainSync, unreadable } from "./plain-file.ts";

/** The largest convox.yml, Dockerfile or ignore file that is read, in bytes. */
export const MAX_TEXT = 1024 * 1024;

/** The longest name and the longest target of a link, in bytes, as in the kernel. */
const LONGEST = 4096;
/** How many links one name may lead through, as in the kernel, and how many names in all. */
const MOST_LINKS = 40;
const MOST_STEPS = 4096;

/** What a name leads to. */
interface Found {
  /** From the root, without links; "" is the root itself. */
  path: string;
  /** Every link on the way, from the root. */
  links: string[];
  info: Stats;
}

/**
 * A directory, and the one way to read files in it that others name: every path in a project, an
 * archive or a request. A name may lead through links that stay inside the directory, and must end
 * at a plain file or a directory: no pipe, no device. Nothing outside is looked at. Only `open` and
 * `directory` make a root. Errors: `not-found` where nothing is there, `invalid` where a name leads
 * out, loops, or ends at something else; they name files by their path below the first root.
 */
export class Root {
  /** Its absolute path, without links. */
  readonly path: string;
  /** How the user named it; absolute links may begin with it, too. */
  readonly #given: string;
  /** Its path below the root that `open` made; "" is that root itself. */
  readonly #below: string;

  private constructor(path: string, given: string, below: string) {
    this.path = path;
    this.#given = given;
    this.#below = below;
  }

  /** Opens a directory that a user named, or that is davit's own. */
  static async open(dir: string): Promise<Root> {
    const path = await realpath(dir).catch((error: unknown) => {
      throw systemError(`Cannot open ${dir}`, error);
    });
    if (!(await lstat(path)).isDirectory())
      throw new DavitError("invalid", `Cannot open ${dir}: it is not a directory`);
    return new Root(path, resolve(dir), "");
  }

  /** A directory in it, which is a root of its own: names in that one do not lead back. */
  async directory(name: string): Promise<Root> {
    const { path, info } = await this.#find(name);
    if (!info.isDirectory()) throw this.#error("invalid", name, "it is not a directory");
    const below = path === "" ? this.#below : join(this.#below, path);
    return new Root(join(this.path, path), join(this.#given, path), below);
  }

  /** A plain file's text, of `limit` bytes at most. */
  async readText(name: string, limit: number = MAX_TEXT): Promise<string> {
    const file = await this.#open(name);
    try {
      const { size } = await file.stat();
      if (size > limit) throw this.#tooLarge(name, limit);
      const buffer = Buffer.alloc(Math.min(size, limit) + 1);
      let length = 0;
      for (let read = -1; read !== 0 && length < buffer.byteLength; length += read)
        read = (await file.read(buffer, length, buffer.byteLength - length, length)).bytesRead;
      if (length === buffer.byteLength) throw this.#error("outdated", name, "it grew while it was read");
      return buffer.toString("utf8", 0, length);
    } finally {
      await file.close();
    }
  }

  /** Reads a text like `readText`; undefined where nothing is there. */
  async readTextIfThere(name: string, limit: number = MAX_TEXT): Promise<string | undefined> {
    return await this.readText(name, limit).catch((error: unknown) => {
      if (hasCode(error, "not-found")) return undefined;
      throw error;
    });
  }

  /** Whether a name leads to something in it. */
  async has(name: string): Promise<boolean> {
    return await this.#find(name).then(
      () => true,
      () => false,
    );
  }

  /** The paths of the links that a name leads through, and of what it ends at; only the name itself where it leads nowhere. */
  async trail(name: string): Promise<string[]> {
    return await this.#find(name).then(
      ({ links, path }) => [...links, path],
      () => [name],
    );
  }

  async #open(name: string): Promise<FileHandle> {
    const { path } = await this.#find(name);
    return await openPlain({ ...this.#file(path), name: this.show(name) });
  }

  /** Opens a file that a walk through the directory found: no part of its path is a link. */
  async openFound(path: string): Promise<FileHandle> {
    return await openPlain(this.#file(path));
  }

  /** The same, synchronously. Returns the descriptor. */
  openFoundSync(path: string): number {
    return openPlainSync(this.#file(path));
  }

  #file(path: string) {
    return { path: join(this.path, path), name: this.show(path), within: this.path };
  }

  /** How messages call something in it: by its path from the first root. */
  show(name: string): string {
    const path = this.#below === "" ? name : join(this.#below, name);
    return /^[\x20-\x7e]{1,200}$/.test(path) ? path : JSON.stringify(path.slice(0, 200));
  }

  /** Follows a name step by step, as the kernel does, and never looks beyond the root. */
  async #find(name: string): Promise<Found> {
    if (name.includes("\0")) throw this.#error("invalid", name, "it holds a NUL byte");
    const at: string[] = [];
    const links: string[] = [];
    const left = this.#names(name, name, at);
    let info = await this.#look(name, "");
    for (let steps = 0; left.length > 0; steps++) {
      const next = left.pop() ?? "";
      if (steps > MOST_STEPS) throw this.#error("invalid", name, "its path is too long");
      if (!info.isDirectory()) throw this.#error("not-found", name, "it is not there");
      if (next === "" || next === ".") continue;
      if (next === "..") {
        if (at.pop() === undefined) throw this.#leadsOut(name);
        info = await this.#look(name, at.join("/"));
        continue;
      }
      at.push(next);
      const path = at.join("/");
      info = await this.#look(name, path);
      if (!info.isSymbolicLink()) continue;
      if (links.push(path) > MOST_LINKS) throw this.#error("invalid", name, "its links have no end");
      at.pop();
      left.push(...this.#names(name, await this.#target(name, path), at));
      info = await this.#look(name, at.join("/"));
    }
    return { path: at.join("/"), links, info };
  }

  /** The names of a path, the last one first. An absolute path must lie in the root, and begins there. */
  #names(name: string, path: string, at: string[]): string[] {
    if (Buffer.byteLength(path) > LONGEST) throw this.#error("invalid", name, "its path is too long");
    if (sep === "\\" && /[\\:]/.test(path)) throw this.#leadsOut(name);
    if (!path.startsWith("/")) return path.split("/").reverse();
    const base = [this.path, this.#given].find((dir) => path === dir || path.startsWith(withSlash(dir)));
    if (base === undefined) throw this.#leadsOut(name);
    at.length = 0;
    return path.slice(base.length).split("/").reverse();
  }

  async #look(name: string, path: string): Promise<Stats> {
    return await lstat(join(this.path, path)).catch((error: unknown) => {
      throw unreadable(this.show(name), error);
    });
  }

  async #target(name: string, path: string): Promise<string> {
    return await readlink(join(this.path, path)).catch((error: unknown) => {
      throw unreadable(this.show(name), error);
    });
  }

  #leadsOut(name: string): DavitError {
    const from = this.#below === "" ? "the project" : `directory ${this.show("")}`;
    return this.#error("invalid", name, `it leads out of ${from}`);
  }

  #tooLarge(name: string, limit: number): DavitError {
    return this.#error("invalid", name, `it has more than ${limit / 1024} KiB`);
  }

  #error(code: "invalid" | "not-found" | "outdated", name: string, why: string): DavitError {
    return new DavitError(code, `Cannot read ${this.show(name)}: ${why}`);
  }
}

function withSlash(dir: string): string {
  return dir.endsWith(sep) ? dir : dir + sep;
}
