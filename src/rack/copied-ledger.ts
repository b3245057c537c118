import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, Type } from "../schema.ts";
import { owe } from "./duty-ledger.ts";
import type { Ledger } from "./ledger.ts";
import { OWN } from "./place-ledger.ts";
import { all, run, type Steps } from "./steps.ts";

const BlobRow = Type.Object({ digest: Type.String(), size: Type.Integer() });

/** What belongs to processes, servers and databases of now. Pins go with their leases. */
const OF_NOW = ["leases", "uploads", "leaders", "strays", "grants"];

/**
 * Takes out of a copy of a ledger what belongs to processes and places of now, and lists
 * its blobs: all of them are the rack's own from here on, wherever they came from.
 */
export async function settleCopy(ledger: Ledger): Promise<{ digest: Digest; size: number }[]> {
  return await ledger.db.write(function* () {
    for (const table of OF_NOW) yield* run(`DELETE FROM ${table}`);
    for (const table of ["members", "builds"]) yield* run(`UPDATE ${table} SET store = ?`, OWN);
    yield* run(
      `UPDATE builds SET status = 'failed', reason = 'it was running when the backup was made', owner = '', lease_until = 0
       WHERE status IN ('created', 'running')`,
    );
    yield* settlePromotions();
    // Which rack a database is for, and what is still to be moved, is said of where it was.
    yield* run("DELETE FROM meta WHERE key IN ('rack', 'moving', 'published')");
    yield* run("DELETE FROM blobs WHERE state <> 'present'");
    yield* owe("directory", "collect");
    const rows = yield* all("SELECT digest, size FROM blobs ORDER BY digest");
    return rows
      .map((row) => check(BlobRow, row, "the ledger's blobs"))
      .map(({ digest, size }) => ({ digest: parseDigest(digest), size }));
  });
}

/** What was on its way when the copy was made has stopped: a deletion goes on with whoever changes the rack first. */
function* settlePromotions(): Steps<void> {
  yield* run("DELETE FROM promotions WHERE phase <> 'deleting'");
  yield* run("UPDATE promotions SET owner = '', until = 0");
  yield* run("UPDATE apps SET status = 'running' WHERE status = 'updating'");
}
