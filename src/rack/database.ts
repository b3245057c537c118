import { Database } from "bun:sqlite";
import { DavitError } from "../errors.ts";
import { databaseError, isBusy, untilFree } from "../lock.ts";
import { MIN_READER, migrations, SCHEMA } from "./tables.ts";

/** What a statement takes. */
export type Value = string | number | null;

/**
 * A ledger's SQLite file. Transactions are synchronous from BEGIN IMMEDIATE to
 * COMMIT: with an `await` inside, another request's acknowledged write was seen
 * to be lost. Waiting for other processes happens outside, and never blocks.
 */
export class LedgerDatabase {
  readonly #db: Database;
  readonly path: string;

  private constructor(db: Database, path: string) {
    this.#db = db;
    this.path = path;
  }

  static async open(path: string): Promise<LedgerDatabase> {
    const db = openFile(path);
    try {
      db.run("PRAGMA busy_timeout = 0");
      await untilFree(`open ${path}`, () => db.run("PRAGMA journal_mode = WAL"));
      db.run("PRAGMA synchronous = FULL");
      db.run("PRAGMA foreign_keys = ON");
      const ledger = new LedgerDatabase(db, path);
      await ledger.#migrate();
      return ledger;
    } catch (error) {
      db.close();
      throw databaseError(`Cannot open ${path}`, error);
    }
  }

  /** Runs `body` in one write transaction; it must not wait for anything. */
  async write<T>(body: () => T): Promise<T> {
    return await untilFree(`write to ${this.path}`, () => {
      this.#db.run("BEGIN IMMEDIATE");
      try {
        const result = body();
        this.#db.run("COMMIT");
        return result;
      } catch (error) {
        if (this.#db.inTransaction) this.#db.run("ROLLBACK");
        throw error;
      }
    }).catch((error: unknown) => {
      throw databaseError(`Cannot write to ${this.path}`, error);
    });
  }

  all(sql: string, ...values: Value[]): unknown[] {
    try {
      return this.#db.query(sql).all(...values);
    } catch (error) {
      if (isBusy(error)) throw error;
      throw databaseError(`Cannot read ${this.path}`, error);
    }
  }

  /** The first row, or undefined. */
  get(sql: string, ...values: Value[]): unknown {
    return this.all(sql, ...values)[0];
  }

  /** Returns how many rows changed. */
  run(sql: string, ...values: Value[]): number {
    return this.#db.query(sql).run(...values).changes;
  }

  /** Everything as it is at one moment, in a file of its own. */
  copyTo(path: string): void {
    try {
      this.#db.run("VACUUM INTO ?", [path]);
    } catch (error) {
      throw databaseError(`Cannot copy ${this.path}`, error);
    }
  }

  close(): void {
    this.#db.close();
  }

  async #migrate(): Promise<void> {
    const version = this.#version();
    if (version.schema === SCHEMA) return;
    if (version.minReader > SCHEMA)
      throw new DavitError("unsupported", `Cannot open ${this.path}: it was written by a newer davit`, {
        hint: "update this davit",
      });
    if (version.schema > SCHEMA) return;
    if (version.schema > 0) this.#db.run("VACUUM INTO ?", [`${this.path}.v${version.schema}.${Date.now()}`]);
    await this.write(() => {
      for (let from = this.#version().schema; from < SCHEMA; from++) this.#db.run(migrations[from] ?? "");
      this.#db.run(`PRAGMA user_version = ${MIN_READER * 1000 + SCHEMA}`);
    });
  }

  /** `user_version` holds both numbers: min_reader × 1000 + schema. */
  #version(): { schema: number; minReader: number } {
    const row: unknown = this.#db.query("PRAGMA user_version").get();
    const value =
      typeof row === "object" && row !== null && "user_version" in row ? Number(row.user_version) : 0;
    return { schema: value % 1000, minReader: Math.floor(value / 1000) };
  }
}

function openFile(path: string): Database {
  try {
    return new Database(path, { create: true, strict: true });
  } catch (error) {
    throw databaseError(`Cannot open ${path}`, error);
  }
}
