import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, run, type Steps } from "./steps.ts";

const LogChunk = Type.Object({ seq: Type.Integer(), bytes: Type.String() });
export type LogChunk = Static<typeof LogChunk>;

/** Logs of builds that still run, in chunks that anybody may follow; afterwards a log is a blob. */
export class LogLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  async append(build: string, text: string): Promise<void> {
    await this.#db.write(() =>
      run(
        "INSERT INTO log_chunks (build, seq, bytes) VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM log_chunks WHERE build = ?1), ?2)",
        build,
        text,
      ),
    );
  }

  /** What was logged after chunk `after`. */
  async chunks(build: string, after: number): Promise<LogChunk[]> {
    const rows = await this.#db.read(() =>
      all(
        "SELECT seq, bytes FROM log_chunks WHERE build = ? AND seq > ? ORDER BY seq LIMIT 256",
        build,
        after,
      ),
    );
    return rows.map((row) => check(LogChunk, row, "the ledger's logs"));
  }
}

export function* dropLog(build: string): Steps<void> {
  yield* run("DELETE FROM log_chunks WHERE build = ?", build);
}
