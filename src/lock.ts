import { Database } from "bun:sqlite";
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
    const db = new Database(path, { create: true });
    try {
      db.run("PRAGMA busy_timeout = 0");
      await untilFree(what, () => db.run("BEGIN EXCLUSIVE"), patience);
      return new FileLock(db);
    } catch (error) {
      db.close();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }
}
