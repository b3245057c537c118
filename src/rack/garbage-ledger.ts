import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, type Static, Type } from "../schema.ts";
import { digestRow } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { type Fence, requireLead } from "./leader-ledger.ts";
import { OWN } from "./place-ledger.ts";
import { all, run } from "./steps.ts";

/** A copy of a blob that may go: a file of the rack's own pool, or what a store outside keeps for an app. */
export interface Garbage {
  store: string;
  app: string;
  digest: Digest;
}

const StrayRow = Type.Object({ store: Type.String(), app: Type.String(), digest: Type.String() });

/** What may go, and what is going: the collector's side of the ledger. */
export class GarbageLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  /**
   * Marks as `deleting` every blob that no tag, build or pin reaches, and every copy
   * that nobody reads; forgets who could see them. From here on they read as absent,
   * and what holds them goes next.
   */
  async mark(fence?: Fence): Promise<Garbage[]> {
    return await this.#db.write(function* () {
      yield* requireLead(fence);
      yield* run(MARK);
      const dead = yield* all("SELECT digest FROM blobs WHERE state = 'deleting'");
      yield* run(STRAYS);
      for (const [table, column] of FORGOTTEN)
        yield* run(
          `DELETE FROM ${table} WHERE ${column} IN (SELECT digest FROM blobs WHERE state = 'deleting')`,
        );
      yield* run(LEAVING);
      const strays = yield* all(
        "SELECT store, app, digest FROM strays WHERE state = 'deleting' ORDER BY store, app, digest",
      );
      return [
        ...dead.map((row) => ({ store: OWN, app: "", digest: digestRow(row) })),
        ...strays.map(strayOf),
      ];
    });
  }

  /** After they are gone: the digest may be written again. */
  async forget(garbage: readonly Garbage[], fence?: Fence): Promise<void> {
    if (garbage.length === 0) return;
    await this.#db.write(function* () {
      yield* requireLead(fence);
      for (const { store, app, digest } of garbage) {
        yield* run("DELETE FROM strays WHERE store = ? AND app = ? AND digest = ?", store, app, digest);
        if (store === OWN) yield* run("DELETE FROM blobs WHERE digest = ? AND state = 'deleting'", digest);
      }
    });
  }
}

function strayOf(row: unknown): Garbage {
  const { digest, ...place }: Static<typeof StrayRow> = check(StrayRow, row, "the ledger's strays");
  return { ...place, digest: parseDigest(digest) };
}

/** What stores outside hold of dead blobs. */
const STRAYS = `
  INSERT INTO strays (store, app, digest) SELECT store, app, digest FROM members
  WHERE store <> '${OWN}' AND digest IN (SELECT digest FROM blobs WHERE state = 'deleting')
  ON CONFLICT DO NOTHING`;

/** A stray goes when nobody reads it there, and nobody is at work with the blob. Apps share the rack's own pool. */
const LEAVING = `
  UPDATE strays SET state = 'deleting' WHERE digest NOT IN (SELECT digest FROM pins) AND NOT EXISTS (
    SELECT 1 FROM members WHERE members.digest = strays.digest AND members.store = strays.store
    AND (strays.store = '${OWN}' OR members.app = strays.app))`;

const MARK = `
  WITH RECURSIVE roots(digest) AS (
    SELECT digest FROM tags
    UNION SELECT index_digest FROM builds WHERE index_digest <> ''
    UNION SELECT log_digest FROM builds WHERE log_digest <> ''
    UNION SELECT digest FROM objects
    UNION SELECT digest FROM pins
    UNION SELECT digest FROM manifests WHERE root = 1
  ), below(parent, child) AS (
    SELECT parent, child FROM edges UNION ALL SELECT subject, digest FROM manifests WHERE subject <> ''
  ), live(digest) AS (
    SELECT digest FROM roots UNION SELECT child FROM live JOIN below ON below.parent = live.digest
  )
  UPDATE blobs SET state = 'deleting' WHERE digest NOT IN (SELECT digest FROM live)`;

const FORGOTTEN = [
  ["members", "digest"],
  ["layers", "digest"],
  ["manifests", "digest"],
  ["edges", "parent"],
] as const;
