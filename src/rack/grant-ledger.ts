import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { first, run, type Steps } from "./steps.ts";

const GrantRow = Type.Object({ app: Type.String(), build: Type.String() });

/** Who may push the images of one build, while it goes on: whoever has the secret with a hash that is here. */
export class GrantLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  async find(hash: string): Promise<Static<typeof GrantRow> | undefined> {
    const row = await this.#db.read(() =>
      first(
        `SELECT grants.app, build FROM grants JOIN builds ON builds.id = grants.build
         WHERE hash = ? AND until > ? AND builds.status IN ('created', 'running')`,
        hash,
        this.#now(),
      ),
    );
    return row === undefined ? undefined : check(GrantRow, row, "the ledger's grants");
  }
}

/** Lets whoever has the secret with this hash push the images of a build, until then (ms since 1970). */
export function* addGrant(
  hash: string,
  { app, id }: { app: string; id: string },
  until: number,
): Steps<void> {
  yield* run("INSERT INTO grants (hash, app, build, until) VALUES (?, ?, ?, ?)", hash, app, id, until);
}
