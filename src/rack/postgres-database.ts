import { SQL } from "bun";
import { DavitError, reasonOf } from "../errors.ts";
import { check, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import type { Outcome, Statement, Steps } from "./steps.ts";
import { forPostgres, MIN_READER, migrations, SCHEMA, tooNew } from "./tables.ts";

/** Connections that read, beside the one that writes. */
const CONNECTIONS = 8;
/** What writers of one ledger take turns under; any number will do that others are unlikely to use. */
const LOCK = 0x6461_7669;
/** How long a write waits for its turn, and how long the database lets one dawdle, in milliseconds. */
const PATIENCE = 30_000;
const DAWDLE = 20_000;
/** Between tries while the database cannot be reached, in milliseconds. */
const PAUSE = 500;

/** Compiling a query takes longer than any of ours runs. */
const BEGIN = `BEGIN;
  SET LOCAL jit = off;
  SET LOCAL lock_timeout = ${PATIENCE};
  SET LOCAL idle_in_transaction_session_timeout = ${DAWDLE};
  SELECT pg_advisory_xact_lock(${LOCK})`;
const CLOCK = "SELECT extract(epoch FROM clock_timestamp())::double precision * 1000 AS now";

/** What Bun's driver passes to its callers. */
type Connection = Pick<SQL, "unsafe">;

/**
 * A ledger in PostgreSQL, for any number of machines. Writes take turns under a lock
 * of the database, so that each sees what the one before it did, as in SQLite.
 */
export class PostgresDatabase implements LedgerDatabase {
  readonly shared = true;
  readonly name: string;
  readonly #sql: SQL;
  #turn: Promise<unknown> = Promise.resolve();
  /** The database's clock less ours, in milliseconds. */
  #ahead = 0;

  private constructor(sql: SQL, name: string) {
    this.#sql = sql;
    this.name = name;
  }

  /** `url` is `postgres://USER:PASSWORD@HOST:PORT/DATABASE`. */
  static async open(url: string): Promise<PostgresDatabase> {
    const name = nameOf(url);
    const sql = new SQL({ url, max: CONNECTIONS + 1, connectionTimeout: PATIENCE / 1000, idleTimeout: 0 });
    const database = new PostgresDatabase(sql, name);
    try {
      await database.#migrate();
      return database;
    } catch (error) {
      await sql.close();
      throw error;
    }
  }

  now(): number {
    return Date.now() + this.#ahead;
  }

  async read<T>(steps: () => Steps<T>): Promise<T> {
    return await this.#patiently("read", () => through(this.#sql, steps()));
  }

  /** This process's writes queue here: one connection is enough for them. */
  async write<T>(steps: () => Steps<T>): Promise<T> {
    const turn = this.#turn.then(() =>
      this.#patiently("write to", () => this.#transaction((at) => through(at, steps()))),
    );
    this.#turn = turn.catch(() => undefined);
    return await turn;
  }

  async copyTo(path: string): Promise<void> {
    const [{ Database }, { SqliteDatabase }, { rowsInto }] = await Promise.all([
      import("bun:sqlite"),
      import("./sqlite-database.ts"),
      import("./ledger-rows.ts"),
    ]);
    await (await SqliteDatabase.open(path)).close();
    const file = new Database(path, { strict: true });
    try {
      file.run("BEGIN");
      await this.write(() => rowsInto(file));
      file.run("COMMIT");
    } finally {
      file.close();
    }
  }

  async close(): Promise<void> {
    await this.#turn;
    await this.#sql.close();
  }

  async #transaction<T>(body: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = await this.#sql.reserve();
    try {
      await connection.unsafe(BEGIN);
      try {
        const result = await body(connection);
        await this.#readClock(connection);
        await commit(connection);
        return result;
      } catch (error) {
        await connection.unsafe("ROLLBACK").catch(() => undefined);
        throw error;
      }
    } finally {
      connection.release();
    }
  }

  async #readClock(connection: Connection): Promise<void> {
    const rows: unknown[] = await connection.unsafe(CLOCK);
    this.#ahead = check(ClockRow, rows[0], "the database's clock").now - Date.now();
  }

  /** While the database cannot be reached, waits and tries again: nothing has happened yet. */
  async #patiently<T>(what: string, attempt: () => Promise<T>): Promise<T> {
    const end = performance.now() + PATIENCE;
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (!isUnreachable(error) || performance.now() > end)
          throw databaseError(`Cannot ${what} ${this.name}`, error);
      }
      await Bun.sleep(PAUSE);
    }
  }

  async #migrate(): Promise<void> {
    await this.#patiently("open", () =>
      this.#transaction(async (connection) => {
        await connection.unsafe(
          "CREATE TABLE IF NOT EXISTS davit_schema (schema INTEGER, min_reader INTEGER)",
        );
        const rows: unknown[] = await connection.unsafe("SELECT schema, min_reader FROM davit_schema");
        const known = rows[0] === undefined ? undefined : check(SchemaRow, rows[0], "the ledger's schema");
        if ((known?.min_reader ?? 0) > SCHEMA) throw tooNew(this.name);
        if (known && known.schema >= SCHEMA) return;
        for (const migration of migrations.slice(known?.schema ?? 0))
          await connection.unsafe(forPostgres(migration));
        await connection.unsafe("DELETE FROM davit_schema");
        await connection.unsafe("INSERT INTO davit_schema VALUES ($1, $2)", [SCHEMA, MIN_READER]);
      }),
    );
  }
}

const ClockRow = Type.Object({ now: Type.Number() });
const SchemaRow = Type.Object({ schema: Type.Integer(), min_reader: Type.Integer() });

async function through<T>(connection: Connection, steps: Steps<T>): Promise<T> {
  for (let next = steps.next(); ; ) {
    if (next.done) return next.value;
    next = steps.next(await execute(connection, next.value));
  }
}

async function execute(connection: Connection, { sql, values }: Statement): Promise<Outcome> {
  const rows: unknown[] & { count?: number } = await connection.unsafe(numbered(sql), values);
  return { rows, changes: rows.count ?? 0 };
}

/** A transaction whose COMMIT is not answered may have been kept: nobody tries it again unasked. */
async function commit(connection: Connection): Promise<void> {
  await connection.unsafe("COMMIT").catch((cause: unknown) => {
    if (!isUnreachable(cause)) throw cause;
    throw new DavitError("unavailable", "the database broke off before it said whether it kept the change", {
      cause,
      hint: "look whether it happened before you try again",
    });
  });
}

const known = new Map<string, string>();

/** `?` and `?1` as PostgreSQL writes them. */
function numbered(sql: string): string {
  let text = known.get(sql);
  if (text === undefined) {
    let count = 0;
    text = sql.replaceAll(/\?(\d*)/g, (_, number: string) => `$${number || ++count}`);
    known.set(sql, text);
  }
  return text;
}

function nameOf(url: string): string {
  if (!URL.canParse(url) || !/^postgres(ql)?:$/.test(new URL(url).protocol))
    throw new DavitError("invalid", "Cannot use DAVIT_DATABASE_URL: it is no postgres:// address", {
      hint: "such as postgres://davit:PASSWORD@db.example.com/davit",
    });
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}

/** The server's own code, https://www.postgresql.org/docs/15/errcodes-appendix.html, or else the driver's. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return "";
  const state = "errno" in error ? error.errno : undefined;
  return typeof state === "string" ? state : "code" in error ? String(error.code) : "";
}

/** Nobody answers, or the server is going down or coming up. */
function isUnreachable(error: unknown): boolean {
  return /^(ERR_POSTGRES_(CONNECTION|IDLE|LIFETIME)|08|57P0[123]|ECONN|53300)/.test(codeOf(error));
}

function databaseError(what: string, error: unknown): DavitError {
  if (error instanceof DavitError) return error;
  const code = codeOf(error);
  const because = (
    kind: "no-space" | "busy" | "denied" | "not-found" | "invalid" | "unavailable" | "io",
    text: string,
  ) => new DavitError(kind, `${what}: ${text}`, { cause: error });
  if (code === "53100") return because("no-space", "its disk is full");
  if (code === "55P03") return because("busy", `another process has held its lock for ${PATIENCE / 1000} s`);
  if (/^28/.test(code)) return because("denied", reasonOf(error));
  if (code === "3D000") return because("not-found", reasonOf(error));
  if (code === "22021") return because("invalid", "PostgreSQL takes no text with a NUL byte in it");
  return because(isUnreachable(error) ? "unavailable" : "io", reasonOf(error));
}
