import { check, checkJson, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, run } from "./steps.ts";

/** What somebody did, and how it ended. */
export const Event = Type.Object({
  at: Type.String(),
  /** Who: a login's name, or `rack-password`. */
  actor: Type.String(),
  /** Such as `build:create`. */
  action: Type.String(),
  status: Type.String(),
  error: Type.String(),
  data: Type.Record(Type.String(), Type.String()),
});
export type Event = Static<typeof Event>;

/** The rack's memory of who did what. */
export class EventLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  async add({ actor, action, status, error, data }: Omit<Event, "at">): Promise<void> {
    await this.#db.write(() =>
      run(
        `INSERT INTO events (seq, at, actor, action, status, error, data)
         VALUES ((SELECT coalesce(max(seq), 0) + 1 FROM events), ?, ?, ?, ?, ?, ?)`,
        ...[this.#now().toISOString(), actor, action, status, error, JSON.stringify(data)],
      ),
    );
  }

  /** Newest first. */
  async list(limit: number): Promise<Event[]> {
    const rows = await this.#db.read(() => all("SELECT * FROM events ORDER BY seq DESC LIMIT ?", limit));
    return rows.map((row) => {
      const { data, seq: _, ...event } = check(EventRow, row, "the ledger's events");
      return { ...event, data: checkJson(Event.properties.data, data, "the ledger's events") };
    });
  }
}

const EventRow = Type.Object({
  seq: Type.Integer(),
  at: Type.String(),
  actor: Type.String(),
  action: Type.String(),
  status: Type.String(),
  error: Type.String(),
  data: Type.String(),
});
