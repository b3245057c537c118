import { check, checkJson, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** What somebody did, and how it ended. */
export const Event = Type.Object({
  at: Type.String(),
  /** A token's name and id, or `rack-password` with the name that its holder claims. */
  actor: Type.String(),
  /** Such as `build:create`. */
  action: Type.String(),
  status: Type.String(),
  error: Type.String(),
  data: Type.Record(Type.String(), Type.String()),
  /** `rack`: the rack itself did it; `client`: a client reported it. Older racks leave it out. */
  source: Type.Optional(Type.Union([Type.Literal("rack"), Type.Literal("client")])),
});
export type Event = Static<typeof Event>;

/** How many events are kept: of one actor, so that nobody pushes out what others did, and of all. */
const MOST_OF_ONE = 1000;
const MOST = 50_000;
/** Events between looks at how many there are. */
const LOOK = 50;
/** The longest texts, in characters. */
const LONGEST_ERROR = 500;
const LONGEST_VALUE = 200;

const SeqRow = Type.Object({ seq: Type.Integer() });

/** The rack's memory of who did what. */
export class EventLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  /** Texts are cut, and brought to one line. */
  async add({ actor, action, status, error, data, source = "rack" }: Omit<Event, "at">): Promise<void> {
    const at = this.#now().toISOString();
    const who = lineOf(actor, LONGEST_VALUE);
    const plain = Object.entries(data).map(([name, value]) => [name, lineOf(value, LONGEST_VALUE)]);
    const text = JSON.stringify(Object.fromEntries(plain));
    await this.#db.write(function* () {
      const newest = yield* first("SELECT coalesce(max(seq), 0) AS seq FROM events");
      const seq = check(SeqRow, newest, "the ledger's events").seq + 1;
      yield* run(
        "INSERT INTO events (seq, at, actor, action, status, error, data, source) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ...[seq, at, who, action, status, lineOf(error, LONGEST_ERROR), text, source],
      );
      if (seq % LOOK === 0) yield* forgetOldest(who);
    });
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

/** Removes events beyond those that are kept, the oldest first. */
function* forgetOldest(actor: string): Steps<void> {
  const own = yield* first(
    "SELECT seq FROM events WHERE actor = ? ORDER BY seq DESC LIMIT 1 OFFSET ?",
    ...[actor, MOST_OF_ONE],
  );
  if (own !== undefined) {
    const { seq } = check(SeqRow, own, "the ledger's events");
    yield* run("DELETE FROM events WHERE actor = ? AND seq <= ?", actor, seq);
  }
  const any = yield* first("SELECT seq FROM events ORDER BY seq DESC LIMIT 1 OFFSET ?", MOST);
  if (any === undefined) return;
  yield* run("DELETE FROM events WHERE seq <= ?", check(SeqRow, any, "the ledger's events").seq);
}

/** Text without control characters, which others would take for commands. */
function lineOf(text: string, longest: number): string {
  return text.slice(0, longest).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, " ");
}

const EventRow = Type.Object({
  seq: Type.Integer(),
  at: Type.String(),
  actor: Type.String(),
  action: Type.String(),
  status: Type.String(),
  error: Type.String(),
  data: Type.String(),
  source: Type.Union([Type.Literal("rack"), Type.Literal("client")]),
});
