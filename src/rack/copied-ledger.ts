import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, Type } from "../schema.ts";
import { owe } from "./duty-ledger.ts";
import type { Ledger } from "./ledger.ts";
import { OWN } from "./place-ledger.ts";
import { all, run, type Steps } from "./steps.ts";

const BlobRow = Type.Object({ digest: Type.String(), size: Type.Integer() });

/** Tables of what running processes hold. Pins are deleted with their leases. */
const HELD = ["leases", "uploads", "leaders", "strays", "grants"];

/**
 * Makes a copy of a ledger fit for another place: removes what running processes held, and moves
 * all blobs to the rack's own store. Returns the blobs.
 */
export async function settleCopy(ledger: Ledger): Promise<{ digest: Digest; size: number }[]> {
  return await ledger.db.write(function* () {
    for (const table of HELD) yield* run(`DELETE FROM ${table}`);
    for (const table of ["members", "builds"]) yield* run(`UPDATE ${table} SET store = ?`, OWN);
    yield* run(
      `UPDATE builds SET status = 'failed', reason = 'it was running when the backup was made', owner = '', lease_until = 0
       WHERE status IN ('created', 'running')`,
    );
    yield* settlePromotions();
    // These facts are about the place that the copy was made of.
    yield* run("DELETE FROM meta WHERE key IN ('rack', 'moving', 'published')");
    yield* run("DELETE FROM blobs WHERE state <> 'present'");
    yield* owe("directory", "collect");
    const rows = yield* all("SELECT digest, size FROM blobs ORDER BY digest");
    return rows
      .map((row) => check(BlobRow, row, "the ledger's blobs"))
      .map(({ digest, size }) => ({ digest: parseDigest(digest), size }));
  });
}

/** Ends promotions that were on their way when the copy was made. A deletion stays: the next process that changes the rack goes on with it. */
function* settlePromotions(): Steps<void> {
  yield* run("DELETE FROM promotions WHERE phase <> 'deleting'");
  yield* run("UPDATE promotions SET owner = '', until = 0");
  yield* run("UPDATE apps SET status = 'running' WHERE status = 'updating'");
}
