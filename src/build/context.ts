import { type BigIntStats, lstatSync } from "node:fs";
import { open, readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { type NewEntry, writeTar } from "../tar/write.ts";
import { cleanPath, IgnoreRules, type ParentMatches } from "./dockerignore.ts";

/** A build context on disk: what of it is sent, and how much that is. */
export interface Context {
  root: string;
  /** The Dockerfile's path inside it. */
  dockerfile: string;
  rules: IgnoreRules;
}

const PIECE = 256 * 1024;

/** Opens a context; `<Dockerfile>.dockerignore` beats `.dockerignore`. */
export async function openContext(root: string, dockerfile: string): Promise<Context> {
  const info = await stat(root).catch((error: unknown) => {
    throw new DavitError("not-found", `Cannot find the build's directory ${root}`, {
      cause: error,
      hint: "see `build:` in convox.yml",
    });
  });
  if (!info.isDirectory())
    throw new DavitError("invalid", `Cannot build ${root}: it is not a directory`, {
      hint: "see `build:` in convox.yml",
    });
  const own = await readIfThere(join(root, `${dockerfile}.dockerignore`));
  const file = own === undefined ? ".dockerignore" : `${dockerfile}.dockerignore`;
  const text = own ?? (await readIfThere(join(root, ".dockerignore"))) ?? "";
  return { root, dockerfile: cleanPath(dockerfile), rules: IgnoreRules.parse(text, join(root, file)) };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
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
  const { dockerfile } = context;
  const forced = withDockerfile ? [dockerfile, ".dockerignore", `${dockerfile}.dockerignore`] : [];
  yield* walk(context, "", [], new Set(forced), []);
}

/** Just these paths, where they exist, each after the directories it lies in. */
export async function* walkPaths(root: string, paths: string[]): AsyncGenerator<ContextItem> {
  const all = new Set<string>();
  for (const path of paths) {
    const names = cleanPath(path).split("/");
    for (let i = 1; i <= names.length; i++) all.add(names.slice(0, i).join("/"));
  }
  for (const path of [...all].sort((a, b) => (a < b ? -1 : 1))) {
    const item = path === "." || path.startsWith("..") ? undefined : describe(root, path);
    if (item) yield item;
  }
}

async function* walk(
  context: Context,
  dir: string,
  matches: ParentMatches,
  forced: Set<string>,
  unsent: ContextItem[],
): AsyncGenerator<ContextItem> {
  for (const name of await names(join(context.root, dir))) {
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

async function names(dir: string): Promise<string[]> {
  const entries = await readdir(dir).catch((error: unknown) => {
    throw systemError(`Cannot read ${dir}`, error);
  });
  return entries.sort((a, b) => (a < b ? -1 : 1));
}

/** Of a hundred thousand files each is asked for by itself, and at once: handing it to another thread takes five times as long. */
function lookAt(path: string): BigIntStats | undefined {
  try {
    return lstatSync(path, { bigint: true });
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}

/** Sockets and devices are not sent. */
function describe(root: string, path: string): ContextItem | undefined {
  const info = lookAt(join(root, path));
  const type = info?.isFile()
    ? "file"
    : info?.isDirectory()
      ? "directory"
      : info?.isSymbolicLink()
        ? "symlink"
        : info?.isFIFO()
          ? "fifo"
          : undefined;
  if (!info || !type) return undefined;
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
  root: string,
  item: ContextItem,
  links: Map<string, string>,
  onBytes: ((bytes: number) => void) | undefined,
): Promise<NewEntry> {
  const common = { name: item.path, mode: item.mode, mtime: Number(item.mtimeNs / 1_000_000_000n) };
  if (item.type === "directory") return { ...common, name: `${item.path}/`, type: "directory" };
  if (item.type === "symlink")
    return { ...common, type: "symlink", linkname: await readlink(join(root, item.path)) };
  if (item.type === "fifo") return { ...common, type: "fifo" };
  const first = item.inode === "" ? undefined : links.get(item.inode);
  if (first !== undefined) return { ...common, type: "link", linkname: first };
  if (item.inode !== "") links.set(item.inode, item.path);
  return {
    ...common,
    type: "file",
    size: item.size,
    body: () => readExactly(join(root, item.path), item.size, onBytes),
  };
}

/** A file's first `size` bytes; one that shrank meanwhile is an error, since its length is already sent. */
async function* readExactly(
  path: string,
  size: number,
  onBytes?: (bytes: number) => void,
): AsyncGenerator<Bytes> {
  const file = await open(path, "r").catch((error: unknown) => {
    throw systemError(`Cannot read ${path}`, error);
  });
  try {
    for (let at = 0; at < size; ) {
      const length = Math.min(PIECE, size - at);
      const { bytesRead, buffer } = await file.read(new Uint8Array(length), 0, length, at);
      if (bytesRead === 0)
        throw new DavitError("io", `Cannot read ${path}: it shrank while it was read`, {
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
