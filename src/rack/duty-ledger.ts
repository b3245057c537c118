import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** Work outside of the ledger that follows a commit. */
export const Duty = Type.Union([
  /** Promote apps again that the router would not find, or that share a network. */
  Type.Literal("reroute"),
  /** Tell the router what all apps' active releases let the world in to. */
  Type.Literal("routes"),
  /** Bring `index.json` and the notes up to date. */
  Type.Literal("directory"),
  /** Delete content that nothing needs any more. */
  Type.Literal("collect"),
]);
export type Duty = Static<typeof Duty>;

const DutyRow = Type.Object({
  name: Duty,
  /** Changes with every commit that owes it. */
  mark: Type.String(),
  /** The mark of the last time it was tried, and why that failed; "" where it was not. */
  tried: Type.String(),
  problem: Type.String(),
});
export type DutyRow = Static<typeof DutyRow>;

/**
 * What commits have left to be done. Each is written down in the transaction that it
 * follows, so that whoever changes the rack next does what a process left undone.
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

  /** Strikes a duty off, unless another commit owes it again. */
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

/** Part of a transaction that leaves something to be done outside of the ledger. */
export function* owe(...duties: Duty[]): Steps<void> {
  for (const name of duties)
    yield* run(
      "INSERT INTO duties (name, mark) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET mark = excluded.mark",
      name,
      crypto.randomUUID(),
    );
}
