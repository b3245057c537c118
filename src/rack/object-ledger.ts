import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, Type } from "../schema.ts";
import type { ContentLedger } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";

/** Uploaded sources are wanted by one build, soon. In milliseconds. */
const TEMPORARY = 24 * 60 * 60 * 1000;

/** Files that clients keep in an app, by key. Each is a blob, and lives as long as its row. */
export class ObjectLedger {
  readonly #db: LedgerDatabase;
  readonly #content: ContentLedger;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, content: ContentLedger, now: () => number) {
    this.#db = db;
    this.#content = content;
    this.#now = now;
  }

  find(app: string, key: string): { digest: Digest; size: number } | undefined {
    const row = this.#db.get("SELECT digest, size FROM objects WHERE app = ? AND key = ?", app, key);
    if (row === undefined) return undefined;
    const { digest, size } = check(ObjectRow, row, "the ledger's objects");
    return { digest: parseDigest(digest), size };
  }

  keys(app: string, prefix: string): string[] {
    return this.#db
      .all(
        "SELECT key FROM objects WHERE app = ?1 AND substr(key, 1, length(?2)) = ?2 ORDER BY key",
        app,
        prefix,
      )
      .map((row) => check(KeyRow, row, "the ledger's objects").key);
  }

  /** The blob must be the app's already. */
  async put(app: string, key: string, blob: Descriptor): Promise<void> {
    await this.#db.write(() => {
      this.#content.requireMembers(app, [blob]);
      this.#db.run(
        "INSERT OR REPLACE INTO objects (app, key, digest, size, created) VALUES (?, ?, ?, ?, ?)",
        ...[app, key, blob.digest, blob.size, this.#now()],
      );
    });
  }

  async remove(app: string, key: string): Promise<boolean> {
    return await this.#db.write(
      () => this.#db.run("DELETE FROM objects WHERE app = ? AND key = ?", app, key) > 0,
    );
  }

  /** Forgets uploads that no build came for. */
  async expire(): Promise<void> {
    await this.#db.write(() =>
      this.#db.run("DELETE FROM objects WHERE key LIKE 'tmp/%' AND created < ?", this.#now() - TEMPORARY),
    );
  }
}

const ObjectRow = Type.Object({ digest: Type.String(), size: Type.Integer() });
const KeyRow = Type.Object({ key: Type.String() });
