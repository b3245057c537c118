import { DavitError } from "../errors.ts";
import { check, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { first, run, type Steps } from "./steps.ts";

/** Proof of leading, checked by every write of a leader: who lost the lead unawares changes nothing any more. */
export interface Fence {
  name: string;
  number: number;
}

const LeaderRow = Type.Object({ holder: Type.String(), until: Type.Number(), fence: Type.Integer() });

/**
 * Who leads, where processes on many machines could: a row that expires, by the
 * database's clock, with a number that grows with every change of hands.
 */
export class LeaderLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** Takes the lead for so many milliseconds, or goes on with it; undefined while another has it. */
  async take(name: string, holder: string, time: number): Promise<Fence | undefined> {
    return await this.#db.write(() => takeLead(name, holder, this.#now(), time));
  }

  /** Whether anybody leads now. */
  async isLed(name: string): Promise<boolean> {
    const row = await this.#db.read(() =>
      first("SELECT name FROM leaders WHERE name = ? AND holder <> '' AND until > ?", name, this.#now()),
    );
    return row !== undefined;
  }

  /** Goes on leading; throws when another has taken over. */
  async renew(fence: Fence, time: number): Promise<void> {
    await this.#db.write(() => renewLead(fence, this.#now() + time));
  }

  async release(fence: Fence): Promise<void> {
    await this.#db.write(() =>
      run("UPDATE leaders SET holder = '', until = 0 WHERE name = ? AND fence = ?", fence.name, fence.number),
    );
  }
}

function* takeLead(name: string, holder: string, now: number, time: number): Steps<Fence | undefined> {
  const row = yield* first("SELECT holder, until, fence FROM leaders WHERE name = ?", name);
  const leader = row === undefined ? undefined : check(LeaderRow, row, "the ledger's leaders");
  const isLed = leader !== undefined && leader.holder !== "" && leader.until > now;
  if (isLed && leader.holder !== holder) return undefined;
  const number = (leader?.fence ?? 0) + (isLed ? 0 : 1);
  yield* run(
    `INSERT INTO leaders (name, holder, until, fence) VALUES (?, ?, ?, ?) ON CONFLICT (name)
     DO UPDATE SET holder = excluded.holder, until = excluded.until, fence = excluded.fence`,
    ...[name, holder, now + time, number],
  );
  return { name, number };
}

function* renewLead(fence: Fence, until: number): Steps<void> {
  yield* requireLead(fence);
  yield* run("UPDATE leaders SET until = ? WHERE name = ?", until, fence.name);
}

/** Part of a leader's every write. Without a fence, something else keeps others out. */
export function* requireLead(fence: Fence | undefined): Steps<void> {
  if (!fence) return;
  const row = yield* first("SELECT holder, until, fence FROM leaders WHERE name = ?", fence.name);
  if (row !== undefined && check(LeaderRow, row, "the ledger's leaders").fence === fence.number) return;
  throw new DavitError("busy", `Cannot go on as ${fence.name}: another process has taken over`);
}
