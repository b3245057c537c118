import { type BigIntStats, lstatSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import type { ByteStream, Bytes } from "../bytes.ts";
import { isOpenDatabase } from "../databases.ts";
import { DavitError, systemCode } from "../errors.ts";
import { unreadable } from "../plain-file.ts";
import type { Root } from "../root.ts";
import { Slices } from "../slices.ts";
import { type NewEntry, writeTar } from "../tar/write.ts";
import { cleanPath, IgnoreRules, type ParentMatches } from "./dockerignore.ts";

/** A build context on disk: what of it is sent, and how much that is. */
export interface Context {
  root: Root;
  /** The Dockerfile's path inside it. */
  dockerfile: string;
  rules: IgnoreRules;
  /** Paths that a tar holds even where they are ignored: the Dockerfile, the ignore files, and links to them with their targets. */
  forced: ReadonlySet<string>;
}

const PIECE = 256 * 1024;

/** Opens a context; `<Dockerfile>.dockerignore` beats `.dockerignore`. */
export async function openContext(root: Root, dockerfile: string): Promise<Context> {
  const [own, general] = [`${cleanPath(dockerfile)}.dockerignore`, ".dockerignore"];
  const text = await root.readTextIfThere(own);
  const rules =
    text === undefined
      ? IgnoreRules.parse((await root.readTextIfThere(general)) ?? "", root.show(general))
      : IgnoreRules.parse(text, root.show(own));
  const trails = await Promise.all([cleanPath(dockerfile), general, own].map((name) => root.trail(name)));
  return { root, dockerfile: cleanPath(dockerfile), rules, forced: new Set(trails.flat()) };
}

/** The context as a tar stream, made while it is read. `onBytes` is told of file bytes as they leave. */
export function contextTar(context: Context, onBytes?: (bytes: number) => void): ByteStream {
  return writeTar(tarEntries(context, onBytes));
}

async function* tarEntries(context: Context, onBytes?: (bytes: number) => void): AsyncGenerator<NewEntry> {
  const links = new Map<string, string>();
  for await (const item of walkContext(context)) yield await tarEntry(context.root, item, links, onBytes);
}

/** One thing that is sent. Paths are relative, with `/` between names. */
export interface ContextItem {
  path: string;
  type: "file" | "directory" | "symlink" | "fifo";
  size: number;
  mode: number;
  /** Nanoseconds since 1970. */
  mtimeNs: bigint;
  /** When anything about it changed last, its name included; in nanoseconds. */
  changedNs: bigint;
  /** Names the file itself, for hard links; "" when it has one name only. */
  inode: string;
}

/**
 * Walks a context in byte order of names. In a tar the Dockerfile and
 * `.dockerignore` always go along, as docker sends them; a directory that is ignored goes only
 * when an exception inside it does.
 */
export async function* walkContext(context: Context, withDockerfile = true): AsyncGenerator<ContextItem> {
  yield* walk(context, "", [], withDockerfile ? context.forced : new Set(), []);
}

/** Just these paths, where they exist, each after the directories it lies in; links with what they lead to. */
export async function* walkPaths(root: Root, paths: string[]): AsyncGenerator<ContextItem> {
  const all = new Set<string>();
  for (const path of paths)
    for (const found of await root.trail(cleanPath(path))) {
      const names = found.split("/");
      for (let i = 1; i <= names.length; i++) all.add(names.slice(0, i).join("/"));
    }
  for (const path of [...all].sort((a, b) => (a < b ? -1 : 1))) {
    const item = describe(root, path);
    if (item) yield item;
  }
}

async function* walk(
  context: Context,
  dir: string,
  matches: ParentMatches,
  forced: ReadonlySet<string>,
  unsent: ContextItem[],
): AsyncGenerator<ContextItem> {
  const slices = new Slices();
  for (const name of await names(context.root, dir)) {
    if (slices.over) await slices.next();
    const path = dir === "" ? name : `${dir}/${name}`;
    const verdict = context.rules.judge(path, matches);
    const wanted = !verdict.ignored || forced.has(path);
    const inside = [...forced].some((file) => file.startsWith(`${path}/`));
    if (!wanted && !inside && !context.rules.mayHoldExceptions(path)) continue;
    const item = describe(context.root, path);
    if (!item) continue;
    if (wanted) {
      yield* unsent.splice(0);
      yield item;
    }
    if (item.type !== "directory") continue;
    const pending = wanted ? [] : [...unsent, item];
    yield* walk(context, path, verdict.matches, forced, pending);
    if (!wanted && pending.length === 0) unsent.length = 0;
  }
}

async function names(root: Root, dir: string): Promise<string[]> {
  const entries = await readdir(join(root.path, dir)).catch((error: unknown) => {
    throw unreadable(root.show(dir), error);
  });
  return entries.sort((a, b) => (a < b ? -1 : 1));
}

/** Synchronous: in a context of 100,000 files, handing each call to another thread takes five times as long. */
function lookAt(root: Root, path: string): BigIntStats | undefined {
  try {
    return lstatSync(join(root.path, path), { bigint: true });
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw unreadable(root.show(path), error);
  }
}

/** Sockets, devices and databases that this davit has open are not sent. */
function describe(root: Root, path: string): ContextItem | undefined {
  const info = lookAt(root, path);
  const type = info?.isFile()
    ? "file"
    : info?.isDirectory()
      ? "directory"
      : info?.isSymbolicLink()
        ? "symlink"
        : info?.isFIFO()
          ? "fifo"
          : undefined;
  if (!info || !type || (type === "file" && isOpenDatabase(path, info))) return undefined;
  return {
    path,
    type,
    size: type === "file" ? Number(info.size) : 0,
    mode: Number(info.mode) & 0o7777,
    mtimeNs: info.mtimeNs,
    changedNs: info.ctimeNs,
    inode: type === "file" && info.nlink > 1n ? `${info.dev}:${info.ino}` : "",
  };
}

async function tarEntry(
  root: Root,
  item: ContextItem,
  links: Map<string, string>,
  onBytes: ((bytes: number) => void) | undefined,
): Promise<NewEntry> {
  const common = { name: item.path, mode: item.mode, mtime: Number(item.mtimeNs / 1_000_000_000n) };
  if (item.type === "directory") return { ...common, name: `${item.path}/`, type: "directory" };
  if (item.type === "symlink")
    return { ...common, type: "symlink", linkname: await readlink(join(root.path, item.path)) };
  if (item.type === "fifo") return { ...common, type: "fifo" };
  const first = item.inode === "" ? undefined : links.get(item.inode);
  if (first !== undefined) return { ...common, type: "link", linkname: first };
  if (item.inode !== "") links.set(item.inode, item.path);
  return {
    ...common,
    type: "file",
    size: item.size,
    body: () => readExactly(root, item.path, item.size, onBytes),
  };
}

/** A file's first `size` bytes; one that shrank meanwhile is an error, since its length is already sent. */
async function* readExactly(
  root: Root,
  path: string,
  size: number,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<Bytes> {
  const file = await root.openFound(path);
  try {
    for (let at = 0; at < size; ) {
      const length = Math.min(PIECE, size - at);
      const { bytesRead, buffer } = await file.read(new Uint8Array(length), 0, length, at);
      if (bytesRead === 0)
        throw new DavitError("io", `Cannot read ${root.show(path)}: it shrank while it was read`, {
          hint: "build again",
        });
      at += bytesRead;
      onBytes?.(bytesRead);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}
