import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, Type } from "../schema.ts";
import { requireMembers } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { owe } from "./duty-ledger.ts";
import { all, first, run } from "./steps.ts";

/** Uploaded sources are wanted by one build, soon. In milliseconds. */
const TEMPORARY = 24 * 60 * 60 * 1000;

/** Files that clients keep in an app, by key. Each is a blob, and lives as long as its row. */
export class ObjectLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  async find(app: string, key: string): Promise<{ digest: Digest; size: number } | undefined> {
    const row = await this.#db.read(() =>
      first("SELECT digest, size FROM objects WHERE app = ? AND key = ?", app, key),
    );
    if (row === undefined) return undefined;
    const { digest, size } = check(ObjectRow, row, "the ledger's objects");
    return { digest: parseDigest(digest), size };
  }

  async keys(app: string, prefix: string): Promise<string[]> {
    const rows = await this.#db.read(() =>
      all(
        "SELECT key FROM objects WHERE app = ?1 AND substr(key, 1, length(?2)) = ?2 ORDER BY key",
        app,
        prefix,
      ),
    );
    return rows.map((row) => check(KeyRow, row, "the ledger's objects").key);
  }

  /** The blob must be the app's already. */
  async put(app: string, key: string, blob: Descriptor): Promise<void> {
    const created = this.#now();
    await this.#db.write(function* () {
      yield* requireMembers(app, [blob]);
      yield* run(
        `INSERT INTO objects (app, key, digest, size, created) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (app, key) DO UPDATE SET digest = excluded.digest, size = excluded.size, created = excluded.created`,
        ...[app, key, blob.digest, blob.size, created],
      );
    });
  }

  async remove(app: string, key: string): Promise<boolean> {
    return await this.#db.write(function* () {
      const removed = yield* run("DELETE FROM objects WHERE app = ? AND key = ?", app, key);
      if (removed > 0) yield* owe("collect");
      return removed > 0;
    });
  }

  /** Forgets uploads that no build came for. */
  async expire(): Promise<void> {
    await this.#db.write(() =>
      run("DELETE FROM objects WHERE substr(key, 1, 4) = 'tmp/' AND created < ?", this.#now() - TEMPORARY),
    );
  }
}

const ObjectRow = Type.Object({ digest: Type.String(), size: Type.Integer() });
const KeyRow = Type.Object({ key: Type.String() });
