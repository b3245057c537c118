import { type BigIntStats, closeSync, openSync, realpathSync, type Stats, statSync } from "node:fs";
import { basename } from "node:path";

/*
 * SQLite holds its locks as POSIX locks, and the system drops all of a process's locks on a
 * file as soon as the process closes any descriptor of it. So a database that SQLite has
 * open here is never opened in another way, not even to be read.
 */

/** What SQLite puts beside a database. */
const COMPANIONS = ["", "-wal", "-shm", "-journal"];

/** Real paths of the databases that this process has open, or had. */
const opened = new Set<string>();
/** File names of those databases and of their companions. */
const names = new Set<string>();

/** Makes an empty file of mode 0600 where there is none: SQLite makes files that everybody may read. */
export function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch {
    // It is there already, or SQLite will report what is wrong.
  }
}

/** Notes that SQLite has a database open; its file exists. */
export function noteDatabase(path: string): void {
  const real = realpathSync(path);
  opened.add(real);
  for (const companion of COMPANIONS) names.add(basename(real) + companion);
}

/** Whether a file is such a database or a companion of one. The last name of `path` is no link, and `info` is its status. */
export function isOpenDatabase(path: string, info: Stats | BigIntStats): boolean {
  // A file with one name has just that name: most files need no further look.
  if (info.nlink < 2 && !names.has(basename(path))) return false;
  const [dev, ino] = [Number(info.dev), Number(info.ino)];
  return [...opened].some((database) =>
    COMPANIONS.some((companion) => {
      const other = statSync(database + companion, { throwIfNoEntry: false });
      return other !== undefined && other.dev === dev && other.ino === ino;
    }),
  );
}
