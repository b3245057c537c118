import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, realpathSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { sep } from "node:path";
import { type Bytes, concat } from "./bytes.ts";
import { isOpenDatabase } from "./databases.ts";
import { DavitError, systemCode, systemError } from "./errors.ts";

/** Opens without waiting for a pipe's other end and without following a link. */
const READ = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0);

const PIECE = 64 * 1024;

/** A file that is about to be opened. */
export interface PlainFile {
  /** Its last name may be no link. */
  path: string;
  /** How messages call it. */
  name: string;
  /** The real directory that it must lie in. */
  within?: string;
}

/** Opens a file for reading; throws `invalid` where it is a link, a pipe, a device, or a database in use. */
export async function openPlain(file: PlainFile): Promise<FileHandle> {
  requirePlain(file);
  const handle = await open(file.path, READ).catch((error: unknown) => {
    throw unreadable(file.name, error);
  });
  try {
    checkOpened(file, handle.fd);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The same, synchronously: for many small files, another thread takes longer than opening does. Returns the descriptor. */
export function openPlainSync(file: PlainFile): number {
  requirePlain(file);
  let fd: number;
  try {
    fd = openSync(file.path, READ);
  } catch (error) {
    throw unreadable(file.name, error);
  }
  try {
    checkOpened(file, fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Opens for reading what the user named on the command line, also a pipe or a device; throws `invalid` for a database in use. */
export async function openNamed(path: string): Promise<FileHandle> {
  refuseDatabase(path);
  return await open(path, "r").catch((error: unknown) => {
    throw systemError(`Cannot read ${path}`, error);
  });
}

/** Reads what the user named; throws `invalid` where that has more than `limit` bytes. */
export async function readNamed(path: string, limit: number): Promise<Bytes> {
  const file = await openNamed(path);
  try {
    const chunks: Uint8Array[] = [];
    for (let size = 0; ; ) {
      const { bytesRead, buffer } = await file.read(new Uint8Array(PIECE), 0, PIECE);
      if (bytesRead === 0) return concat(chunks);
      chunks.push(buffer.subarray(0, bytesRead));
      size += bytesRead;
      if (size > limit)
        throw new DavitError("invalid", `Cannot read ${path}: it has more than ${limit / 1024} KiB`);
    }
  } catch (error) {
    throw systemError(`Cannot read ${path}`, error);
  } finally {
    await file.close();
  }
}

/** Throws `invalid` where a path that the user named leads, through links or not, to a database in use. */
export function refuseDatabase(path: string): void {
  try {
    const real = realpathSync(path);
    if (!isOpenDatabase(real, lstatSync(real))) return;
  } catch {
    return;
  }
  throw inUse(path);
}

/** Looks at a file before it is opened: opening a device may do something, and closing a database drops its locks. */
function requirePlain({ path, name }: PlainFile): void {
  let info: ReturnType<typeof lstatSync>;
  try {
    info = lstatSync(path);
  } catch (error) {
    throw unreadable(name, error);
  }
  if (!info.isFile()) throw notPlain(name, info.isDirectory() ? "a directory" : "not a plain file");
  if (isOpenDatabase(path, info)) throw inUse(name);
}

/** Looks again at what was opened: that may be another file than the one that was looked at. */
function checkOpened({ name, within }: PlainFile, fd: number): void {
  if (!fstatSync(fd).isFile()) throw notPlain(name, "not a plain file");
  const place = within === undefined ? undefined : placeOf(fd);
  if (place !== undefined && within !== "/" && !place.startsWith(`${within}${sep}`))
    throw new DavitError("outdated", `Cannot read ${name}: it was moved while it was opened`, {
      hint: "try again",
    });
}

/** Where an open file is; undefined where the system does not tell. */
function placeOf(fd: number): string | undefined {
  if (process.platform !== "linux") return undefined;
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return undefined;
  }
}

/** The error for a file that the system does not open, without the system's own words: they hold the whole path, which a server's clients may not learn. */
export function unreadable(name: string, cause: unknown): DavitError {
  const code = systemCode(cause);
  if (code === undefined) return systemError(`Cannot read ${name}`, cause);
  if (code === "ENOENT" || code === "ENOTDIR")
    return new DavitError("not-found", `Cannot read ${name}: it is not there`, { cause });
  if (code === "ENAMETOOLONG")
    return new DavitError("invalid", `Cannot read ${name}: its path is too long`, { cause });
  if (code === "ELOOP") return notPlain(name, "a link");
  return new DavitError("io", `Cannot read ${name}: the system refuses it (${code})`, { cause });
}

function notPlain(name: string, what: string): DavitError {
  return new DavitError("invalid", `Cannot read ${name}: it is ${what}`);
}

function inUse(name: string): DavitError {
  return new DavitError("invalid", `Cannot read ${name}: it is a database of davit that is in use`, {
    hint: "`davit rack backup` copies a rack",
  });
}
