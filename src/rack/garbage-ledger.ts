import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { type Fence, requireLead } from "./leader-ledger.ts";
import { leaveMembers, OWN } from "./place-ledger.ts";
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
      yield* run(UNREACHED);
      for (const statement of FORGET) yield* run(statement);
      yield* run(DEAD);
      for (const statement of BURY) yield* run(statement);
      yield* run(LEAVING);
      const strays = yield* all(
        "SELECT store, app, digest FROM strays WHERE state = 'deleting' ORDER BY store, app, digest",
      );
      return strays.map(strayOf);
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

/** A stray goes when nobody reads it there, and nobody is at work with the blob. Apps share the rack's own pool. */
const LEAVING = `
  UPDATE strays SET state = 'deleting'
  WHERE digest IN (SELECT digest FROM strays EXCEPT SELECT digest FROM pins) AND NOT EXISTS (
    SELECT 1 FROM members WHERE members.digest = strays.digest AND members.store = strays.store
    AND (strays.store = '${OWN}' OR members.app = strays.app))`;

/**
 * Marks what no tag, build, object or manifest of its own app reaches, and nobody is at work
 * with. What refers to a manifest lives with it, in the same app. (EXCEPT, for PostgreSQL
 * compares every row with every other for a large NOT IN.)
 */
const UNREACHED = `
  WITH RECURSIVE roots(app, digest) AS (
    SELECT app, digest FROM tags
    UNION SELECT app, index_digest FROM builds WHERE index_digest <> ''
    UNION SELECT app, log_digest FROM builds WHERE log_digest <> ''
    UNION SELECT app, digest FROM objects
    UNION SELECT app, digest FROM manifests WHERE root = 1
  ), below(app, parent, child) AS (
    SELECT '', parent, child FROM edges
    UNION ALL SELECT app, subject, digest FROM manifests WHERE subject <> ''
  ), live(app, digest) AS (
    SELECT app, digest FROM roots
    UNION SELECT live.app, child FROM live
    JOIN below ON below.parent = live.digest AND (below.app = '' OR below.app = live.app)
  ), held(digest) AS (
    SELECT digest FROM pins UNION SELECT child FROM held JOIN below ON below.parent = held.digest
  )
  UPDATE members SET reached = 0 WHERE (app, digest) IN (
    SELECT app, digest FROM members
    WHERE digest IN (SELECT digest FROM members EXCEPT SELECT digest FROM held)
    EXCEPT SELECT app, digest FROM live)`;

/** What apps have no longer is left where it is: the blob may live on elsewhere. */
const FORGET = [
  leaveMembers("reached = 0"),
  `DELETE FROM manifests WHERE EXISTS (SELECT 1 FROM members
   WHERE members.app = manifests.app AND members.digest = manifests.digest AND reached = 0)`,
  "DELETE FROM members WHERE reached = 0",
] as const;

/** What no app has, and nobody is at work with. */
const DEAD = `
  UPDATE blobs SET state = 'deleting' WHERE digest IN (
    SELECT digest FROM blobs EXCEPT SELECT digest FROM members EXCEPT SELECT digest FROM pins)`;

const BURY = [
  `INSERT INTO strays (store, app, digest) SELECT '${OWN}', '', digest FROM blobs
   WHERE state = 'deleting' ON CONFLICT DO NOTHING`,
  "DELETE FROM layers WHERE digest IN (SELECT digest FROM blobs WHERE state = 'deleting')",
  "DELETE FROM manifests WHERE digest IN (SELECT digest FROM blobs WHERE state = 'deleting')",
  "DELETE FROM edges WHERE parent IN (SELECT digest FROM blobs WHERE state = 'deleting')",
] as const;
