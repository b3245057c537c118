import type { Digest } from "../oci/digest.ts";
import { digestRow } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { type Fence, requireLead } from "./leader-ledger.ts";
import { all, run } from "./steps.ts";

/** What may go, and what is going: the collector's side of the ledger. */
export class GarbageLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  /**
   * Marks as `deleting` every blob that no tag, build or pin reaches, and forgets
   * who could see it. From here on it reads as absent; its file goes next.
   */
  async mark(fence?: Fence): Promise<Digest[]> {
    return await this.#db.write(function* () {
      yield* requireLead(fence);
      yield* run(MARK);
      const garbage = yield* all("SELECT digest FROM blobs WHERE state = 'deleting'");
      for (const [table, column] of FORGOTTEN)
        yield* run(
          `DELETE FROM ${table} WHERE ${column} IN (SELECT digest FROM blobs WHERE state = 'deleting')`,
        );
      return garbage.map(digestRow);
    });
  }

  /** After the file is gone: the digest may be written again. */
  async forget(digests: readonly Digest[], fence?: Fence): Promise<void> {
    if (digests.length === 0) return;
    await this.#db.write(function* () {
      yield* requireLead(fence);
      for (const digest of digests)
        yield* run("DELETE FROM blobs WHERE digest = ? AND state = 'deleting'", digest);
    });
  }
}

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
