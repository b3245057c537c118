import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";

const NameRow = Type.Object({ name: Type.String() });
const SizeRow = Type.Object({ size: Type.Integer() });
const UploadRow = Type.Object({
  id: Type.String(),
  app: Type.String(),
  principal: Type.String(),
  until: Type.Integer(),
});
const CountRow = Type.Object({ count: Type.Integer() });
const NamedRow = Type.Object({
  app: Type.String(),
  name: Type.String(),
  digest: Type.String(),
  media_type: Type.String(),
  size: Type.Integer(),
});
/** How long pins of the registry's visitors last at least, and how long one lease takes new ones, in milliseconds. */
const PINNED = 24 * 60 * 60 * 1000;
const BUCKET = 60 * 60 * 1000;

/** What a registry asks of the ledger beside what a store asks: names, uploads, referrers, deletes. */
export class RegistryLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  hasRepository(name: string): boolean {
    return this.#db.get("SELECT 1 FROM apps WHERE name = ?", name) !== undefined;
  }

  async createRepository(name: string): Promise<void> {
    const created = new Date(this.#now()).toISOString();
    await this.#db.write(() =>
      this.#db.run("INSERT OR IGNORE INTO apps (name, created) VALUES (?, ?)", name, created),
    );
  }

  repositories(after: string, limit: number): string[] {
    return this.#names("SELECT name FROM apps WHERE name > ? ORDER BY name LIMIT ?", after, limit);
  }

  /** In the order of their bytes, as the specification wants them. */
  tags(app: string, after: string, limit: number): string[] {
    return this.#names(
      "SELECT name FROM tags WHERE app = ? AND name > ? ORDER BY name LIMIT ?",
      app,
      after,
      limit,
    );
  }

  #names(sql: string, ...values: (string | number)[]): string[] {
    return this.#db.all(sql, ...values).map((row) => check(NameRow, row, "the ledger's names").name);
  }

  /** Every tag, and every manifest that is kept without one. */
  names(): { repository: string; tag: string; descriptor: Descriptor }[] {
    const rows = this.#db.all(
      `SELECT app, name, digest, media_type, size FROM tags UNION ALL
       SELECT app, '', digest, media_type, size FROM manifests WHERE root = 1
       AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.app = manifests.app AND tags.digest = manifests.digest)
       ORDER BY 1, 2, 3`,
    );
    return rows.map((row) => {
      const found = check(NamedRow, row, "the ledger's tags");
      return { repository: found.app, tag: found.name, descriptor: descriptorOf(found) };
    });
  }

  /** Drops the tags that are none of these. */
  async keepTags(places: { repository: string; tag?: string }[]): Promise<void> {
    const kept = new Set(places.map(({ repository, tag }) => `${repository}:${tag ?? ""}`));
    const gone = this.names().filter(
      ({ repository, tag }) => tag !== "" && !kept.has(`${repository}:${tag}`),
    );
    for (const { repository, tag } of gone) await this.deleteTag(repository, tag);
  }

  /** A blob's size, where the app holds it. */
  blob(app: string, digest: Digest): number | undefined {
    const row = this.#db.get(
      "SELECT size FROM members JOIN blobs USING (digest) WHERE app = ? AND digest = ? AND state = 'present'",
      app,
      digest,
    );
    return row === undefined ? undefined : check(SizeRow, row, "the ledger's blobs").size;
  }

  /** An app that may be read and holds this blob. */
  holderOf(digest: Digest): string | undefined {
    return this.#names(
      "SELECT app AS name FROM members JOIN blobs USING (digest) WHERE digest = ? AND state = 'present' LIMIT 1",
      digest,
    )[0];
  }

  async deleteTag(app: string, name: string): Promise<boolean> {
    return await this.#db.write(
      () => this.#db.run("DELETE FROM tags WHERE app = ? AND name = ?", app, name) > 0,
    );
  }

  /** Takes a manifest out of the app, with its tags. */
  async deleteManifest(app: string, digest: Digest): Promise<boolean> {
    return await this.#db.write(() => {
      this.#db.run("DELETE FROM tags WHERE app = ? AND digest = ?", app, digest);
      this.#db.run("DELETE FROM manifests WHERE app = ? AND digest = ?", app, digest);
      return this.#forgetMember(app, digest);
    });
  }

  /** Takes a blob out of the app. A manifest of the app that names it keeps it: its digest is then the answer. */
  async deleteBlob(app: string, digest: Digest): Promise<"deleted" | "absent" | Digest> {
    return await this.#db.write(() => {
      const user = this.#names(
        `SELECT parent AS name FROM edges JOIN manifests ON manifests.digest = edges.parent
         WHERE edges.child = ? AND manifests.app = ? LIMIT 1`,
        digest,
        app,
      )[0];
      if (user !== undefined && this.blob(app, digest) !== undefined) return parseDigest(user);
      return this.#forgetMember(app, digest) ? "deleted" : "absent";
    });
  }

  #forgetMember(app: string, digest: Digest): boolean {
    return this.#db.run("DELETE FROM members WHERE app = ? AND digest = ?", app, digest) > 0;
  }

  /**
   * The lease that pins what visitors store, or are told exists, for a day: a
   * registry is never told when a push begins or ends. One an hour takes all of them.
   */
  async lease(): Promise<string> {
    const start = Math.floor(this.#now() / BUCKET) * BUCKET;
    const id = `registry-${start}`;
    if (this.#db.get("SELECT 1 FROM leases WHERE id = ?", id) === undefined)
      await this.#db.write(() =>
        this.#db.run(
          "INSERT OR IGNORE INTO leases (id, owner, until) VALUES (?, 'registry', ?)",
          id,
          start + BUCKET + PINNED,
        ),
      );
    return id;
  }

  /** Begins an upload; false where the principal has too many. */
  async beginUpload(id: string, app: string, principal: string, most: number): Promise<boolean> {
    return await this.#db.write(() => {
      const row = this.#db.get("SELECT count(*) AS count FROM uploads WHERE principal = ?", principal);
      if (check(CountRow, row, "the ledger's uploads").count >= most) return false;
      const until = this.#now() + PINNED;
      this.#db.run(
        "INSERT INTO uploads (id, app, principal, until) VALUES (?, ?, ?, ?)",
        id,
        app,
        principal,
        until,
      );
      return true;
    });
  }

  /** Whether this upload is this principal's, in this app, and not too old. */
  hasUpload(id: string, app: string, principal: string): boolean {
    const row = this.#db.get("SELECT * FROM uploads WHERE id = ?", id);
    if (row === undefined) return false;
    const upload = check(UploadRow, row, "the ledger's uploads");
    return upload.app === app && upload.principal === principal && upload.until > this.#now();
  }

  async endUpload(id: string): Promise<void> {
    await this.#db.write(() => this.#db.run("DELETE FROM uploads WHERE id = ?", id));
  }

  /** Forgets uploads that are too old, and names those that are left. */
  async sweepUploads(): Promise<Set<string>> {
    await this.#db.write(() => this.#db.run("DELETE FROM uploads WHERE until <= ?", this.#now()));
    return new Set(this.#names("SELECT id AS name FROM uploads"));
  }
}

function descriptorOf(row: { digest: string; media_type: string; size: number }): Descriptor {
  return { mediaType: row.media_type, digest: parseDigest(row.digest), size: row.size };
}
