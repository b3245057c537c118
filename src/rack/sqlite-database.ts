import { Database } from "bun:sqlite";
import { makePrivate, noteDatabase } from "../databases.ts";
import { databaseError, isBusy, untilFree } from "../lock.ts";
import type { LedgerDatabase } from "./database.ts";
import type { Outcome, Statement, Steps } from "./steps.ts";
import { MIN_READER, migrations, SCHEMA, tooNew } from "./tables.ts";

/**
 * A ledger in a file. Transactions are synchronous from BEGIN IMMEDIATE to
 * COMMIT: with an `await` inside, another request's acknowledged write was seen
 * to be lost. Waiting for other processes happens outside, and never blocks.
 */
export class SqliteDatabase implements LedgerDatabase {
  readonly shared = false;
  readonly name: string;
  readonly #db: Database;

  private constructor(db: Database, path: string) {
    this.#db = db;
    this.name = path;
  }

  static async open(path: string): Promise<SqliteDatabase> {
    const db = openFile(path);
    try {
      db.run("PRAGMA busy_timeout = 0");
      await untilFree(`open ${path}`, () => db.run("PRAGMA journal_mode = WAL"));
      db.run("PRAGMA synchronous = FULL");
      db.run("PRAGMA foreign_keys = ON");
      const ledger = new SqliteDatabase(db, path);
      await ledger.#migrate();
      return ledger;
    } catch (error) {
      db.close();
      throw databaseError(`Cannot open ${path}`, error);
    }
  }

  now(): number {
    return Date.now();
  }

  async read<T>(steps: () => Steps<T>): Promise<T> {
    try {
      return this.#through(steps());
    } catch (error) {
      if (isBusy(error)) throw error;
      throw databaseError(`Cannot read ${this.name}`, error);
    }
  }

  async write<T>(steps: () => Steps<T>): Promise<T> {
    return await this.#transaction(() => this.#through(steps()));
  }

  async #transaction<T>(body: () => T): Promise<T> {
    return await untilFree(`write to ${this.name}`, () => {
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
      throw databaseError(`Cannot write to ${this.name}`, error);
    });
  }

  #through<T>(steps: Steps<T>): T {
    for (let next = steps.next(); ; next = steps.next(this.#execute(next.value)))
      if (next.done) return next.value;
  }

  #execute({ sql, values }: Statement): Outcome {
    const query = this.#db.query(sql);
    return query.columnNames.length > 0
      ? { rows: query.all(...values), changes: 0 }
      : { rows: [], changes: query.run(...values).changes };
  }

  async copyTo(path: string): Promise<void> {
    try {
      makePrivate(path);
      this.#db.run("VACUUM INTO ?", [path]);
    } catch (error) {
      throw databaseError(`Cannot copy ${this.name}`, error);
    }
  }

  async close(): Promise<void> {
    this.#db.close();
  }

  async #migrate(): Promise<void> {
    const version = this.#version();
    if (version.schema === SCHEMA) return;
    if (version.minReader > SCHEMA) throw tooNew(this.name);
    if (version.schema > SCHEMA) return;
    if (version.schema > 0) await this.copyTo(`${this.name}.v${version.schema}.${Date.now()}`);
    await this.#transaction(() => {
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
    makePrivate(path);
    const db = new Database(path, { create: true, strict: true });
    noteDatabase(path);
    return db;
  } catch (error) {
    throw databaseError(`Cannot open ${path}`, error);
  }
}
