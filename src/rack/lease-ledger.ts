import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { owe } from "./duty-ledger.ts";
import { all, run } from "./steps.ts";

/** How long a lease outlives its last renewal, in milliseconds. */
const LEASE = 24 * 60 * 60 * 1000;

const IMPORT = "import ";
/** In place of an owner: nobody is at work any more. */
const KEPT = "kept";

/** What the leases of imports into an app begin with. */
export function importLease(app: string): string {
  return `${IMPORT}${app} `;
}

const LeaseRow = Type.Object({ id: Type.String(), owner: Type.String(), until: Type.Integer() });
type LeaseRow = Static<typeof LeaseRow>;

/** Who is at work, and holds what it has pinned. */
export class LeaseLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  async open(id: string): Promise<void> {
    await this.#db.write(() =>
      run(
        "INSERT INTO leases (id, owner, until) VALUES (?, ?, ?)",
        ...[id, ownerText(thisProcess()), this.#now() + LEASE],
      ),
    );
  }

  async renew(id: string): Promise<void> {
    await this.#db.write(() => run("UPDATE leases SET until = ? WHERE id = ?", this.#now() + LEASE, id));
  }

  /**
   * Ends a lease; what it pinned and never recorded is left to the collector, and what it
   * recorded for work that `failed` as well. Returns how much was not recorded.
   */
  async close(id: string, { failed = false }: { failed?: boolean } = {}): Promise<number> {
    return await this.#db.write(function* () {
      const orphans = yield* run(
        `INSERT INTO blobs (digest, size, state) SELECT digest, 0, 'deleting' FROM pins WHERE lease = ?1
         AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.digest = pins.digest)
         AND NOT EXISTS (SELECT 1 FROM pins AS others WHERE others.digest = pins.digest AND others.lease <> ?1)`,
        id,
      );
      yield* run("DELETE FROM leases WHERE id = ?", id);
      if (failed || orphans > 0) yield* owe("collect");
      return orphans;
    });
  }

  /** What an import stored when it was cut stays for a day, for the next try to find. */
  async keep(id: string): Promise<void> {
    await this.#db.write(() =>
      run("UPDATE leases SET owner = ?, until = ? WHERE id = ?", KEPT, this.#now() + LEASE, id),
    );
  }

  /** The leases of imports into an app that were cut, or whose process is gone. */
  async cut(app: string): Promise<string[]> {
    const rows = await this.#db.read(() =>
      all("SELECT * FROM leases WHERE substr(id, 1, length(?1)) = ?1", importLease(app)),
    );
    return rows
      .map(leaseRow)
      .filter((lease) => lease.owner === KEPT || this.#isAbandoned(lease))
      .map((lease) => lease.id);
  }

  /** Leases whose process is gone, or whose time is up. An import's content stays for its time: it may be tried again. */
  async abandoned(): Promise<string[]> {
    const rows = await this.#db.read(() => all("SELECT * FROM leases"));
    return rows
      .map(leaseRow)
      .filter((lease) => this.#isAbandoned(lease))
      .filter((lease) => !lease.id.startsWith(IMPORT) || lease.until < this.#now())
      .map((lease) => lease.id);
  }

  #isAbandoned({ owner, until }: LeaseRow): boolean {
    return isAbandoned(owner, until, this.#now(), this.#db.shared);
  }
}

function leaseRow(row: unknown): LeaseRow {
  return check(LeaseRow, row, "the ledger's leases");
}
