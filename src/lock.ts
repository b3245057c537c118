import { Database } from "bun:sqlite";
import { noteDatabase } from "./databases.ts";
import { DavitError, reasonOf } from "./errors.ts";

/** Waits between tries, in milliseconds: short at first, then at most this long. */
const LONGEST_WAIT = 100;

/** Tries `attempt` until it does not meet SQLITE_BUSY, without ever blocking the event loop. */
export async function untilFree<T>(what: string, attempt: () => T, patience = 30_000): Promise<T> {
  const end = performance.now() + patience;
  for (let wait = 2; ; wait = Math.min(wait * 1.5, LONGEST_WAIT)) {
    try {
      return attempt();
    } catch (error) {
      if (!isBusy(error)) throw error;
      if (performance.now() > end)
        throw new DavitError(
          "busy",
          `Cannot ${what}: another process has held the lock for ${patience / 1000} s`,
          { cause: error },
        );
    }
    await Bun.sleep(wait * (0.5 + Math.random() / 2));
  }
}

/** What SQLite says, in davit's terms. */
export function databaseError(what: string, error: unknown): DavitError {
  if (error instanceof DavitError) return error;
  const text = reasonOf(error);
  if (/SQLITE_FULL|disk is full|ENOSPC/.test(text))
    return new DavitError("no-space", `${what}: the disk is full`, {
      cause: error,
      hint: "free some space and try again; nothing half-written is left behind",
    });
  if (/SQLITE_(CORRUPT|NOTADB)|malformed|not a database/.test(text))
    return new DavitError("io", `${what}: the ledger is damaged (${text})`, {
      cause: error,
      hint: "put back a copy of the rack, or move the directory away to start afresh",
    });
  return new DavitError("io", `${what}: ${text}`, { cause: error });
}

export function isBusy(error: unknown): boolean {
  return (
    error instanceof Error &&
    /SQLITE_BUSY|database (table )?is locked/.test(`${"code" in error ? error.code : ""} ${reasonOf(error)}`)
  );
}

/** A lock that lives as long as its process: an open transaction on a database file of its own. */
export class FileLock implements Disposable {
  readonly #db: Database;

  private constructor(db: Database) {
    this.#db = db;
  }

  static async take(path: string, what: string, patience?: number): Promise<FileLock> {
    let db: Database | undefined;
    try {
      db = new Database(path, { create: true });
      noteDatabase(path);
      const opened = db;
      db.run("PRAGMA busy_timeout = 0");
      await untilFree(what, () => opened.run("BEGIN EXCLUSIVE"), patience);
      return new FileLock(db);
    } catch (error) {
      db?.close();
      throw databaseError(`Cannot ${what}`, error);
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
