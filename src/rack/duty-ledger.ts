import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** Work outside of the ledger that follows a commit. */
export const Duty = Type.Union([
  /** Promote apps again that an earlier davit started where the router does not find them, or in a shared network. */
  Type.Literal("reroute"),
  /** Tell the router the routes of all apps' active releases. */
  Type.Literal("routes"),
  /** Bring `index.json` and the notes up to date. */
  Type.Literal("directory"),
  /** Delete content that nothing needs any more. */
  Type.Literal("collect"),
]);
export type Duty = Static<typeof Duty>;

const DutyRow = Type.Object({
  name: Duty,
  /** A new one with every commit that owes the duty. */
  mark: Type.String(),
  /** The mark it had when it was last tried, and why that failed; "" where it was not tried. */
  tried: Type.String(),
  problem: Type.String(),
});
export type DutyRow = Static<typeof DutyRow>;

/**
 * Duties: work that commits have left to be done. Each is recorded in the transaction that owes it,
 * so that the next process that changes the rack does what a stopped one left undone.
 */
export class DutyLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  async find(name: Duty): Promise<DutyRow | undefined> {
    const row = await this.#db.read(() => first("SELECT * FROM duties WHERE name = ?", name));
    return row === undefined ? undefined : check(DutyRow, row, "the ledger's duties");
  }

  async list(): Promise<DutyRow[]> {
    const rows = await this.#db.read(() => all("SELECT * FROM duties ORDER BY name"));
    return rows.map((row) => check(DutyRow, row, "the ledger's duties"));
  }

  async owe(name: Duty): Promise<void> {
    await this.#db.write(() => owe(name));
  }

  /** Removes a duty, unless another commit has owed it since it was found. */
  async done({ name, mark }: DutyRow): Promise<void> {
    await this.#db.write(() => run("DELETE FROM duties WHERE name = ? AND mark = ?", name, mark));
  }

  /** Notes why a duty could not be done. */
  async failed({ name, mark }: DutyRow, problem: string): Promise<void> {
    await this.#db.write(() =>
      run("UPDATE duties SET tried = ?, problem = ? WHERE name = ?", mark, problem, name),
    );
  }
}

/** Records duties, as a part of the transaction that owes them. */
export function* owe(...duties: Duty[]): Steps<void> {
  for (const name of duties)
    yield* run(
      "INSERT INTO duties (name, mark) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark",
      name,
      crypto.randomUUID(),
    );
}
