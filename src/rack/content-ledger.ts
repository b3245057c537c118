import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, checkJson, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { LeaseLedger } from "./lease-ledger.ts";
import { ContentRow } from "./rows.ts";

const DigestRow = Type.Object({ digest: Type.String() });
const BlobRow = Type.Object({ size: Type.Integer(), state: Type.String() });

/** A manifest as it is recorded. */
export interface NewManifest {
  descriptor: Descriptor;
  children: Descriptor[];
  subject?: Descriptor | undefined;
  /** How a list of referrers tells of it, when it has a subject. */
  entry?: Descriptor | undefined;
  /** Kept until it is deleted, whether or not anything refers to it. */
  root?: boolean;
  /** Its children may be missing. */
  sparse?: boolean;
}

/**
 * Which blobs the pool holds, which app may see which, and what keeps them from
 * being collected: tags and builds, and the pins of leases under way.
 */
export class ContentLedger {
  readonly leases: LeaseLedger;
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.leases = new LeaseLedger(db, now);
  }

  /** Whether the app holds this blob; a "yes" inside a lease pins it in the same transaction. */
  async has(app: string, descriptor: Descriptor, lease?: string): Promise<boolean> {
    const member = this.#isMember(app, descriptor);
    if (lease === undefined || !member) return member;
    return await this.#db.write(() => {
      if (!this.#isMember(app, descriptor)) return false;
      this.#pin(lease, descriptor.digest);
      return true;
    });
  }

  /**
   * Pins a digest that is about to be written, so that a collector leaves the
   * file alone. False while a collector is at it: wait and ask again.
   */
  async claim(lease: string, digest: Digest): Promise<boolean> {
    return await this.#db.write(() => {
      if (this.#blob(digest)?.state === "deleting") return false;
      this.#pin(lease, digest);
      return true;
    });
  }

  /** Records a blob whose file is in place: it is the app's now. */
  async add(app: string, descriptor: Descriptor, lease: string): Promise<void> {
    await this.#db.write(() => this.#add(app, descriptor, [], lease));
  }

  /** Records a manifest, whose children must be the app's already. */
  async addManifest(app: string, manifest: NewManifest, lease: string): Promise<void> {
    const { descriptor, children, subject, entry, root = false, sparse = false } = manifest;
    await this.#db.write(() => {
      if (!sparse) this.requireMembers(app, children);
      this.#add(app, descriptor, children, lease);
      this.#db.run(
        `INSERT INTO manifests (app, digest, media_type, size, root, subject, entry) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT DO UPDATE SET media_type = excluded.media_type, root = max(root, excluded.root)`,
        ...[app, descriptor.digest, descriptor.mediaType, descriptor.size],
        ...[root ? 1 : 0, subject?.digest ?? "", entry ? JSON.stringify(entry) : ""],
      );
      // What an index names lives and goes with the index.
      for (const child of children)
        this.#db.run("UPDATE manifests SET root = 0 WHERE app = ? AND digest = ?", app, child.digest);
    });
  }

  #add(app: string, { digest, size }: Descriptor, children: Descriptor[], lease: string): void {
    this.#db.run("INSERT OR IGNORE INTO blobs (digest, size) VALUES (?, ?)", digest, size);
    this.#db.run("INSERT OR IGNORE INTO members (app, digest) VALUES (?, ?)", app, digest);
    for (const child of children)
      this.#db.run("INSERT OR IGNORE INTO edges (parent, child) VALUES (?, ?)", digest, child.digest);
    this.#pin(lease, digest);
  }

  /** Makes a blob of the pool the app's, on proof of its content; false when the pool lacks it. */
  async adopt(app: string, descriptor: Descriptor, lease: string): Promise<boolean> {
    return await this.#db.write(() => {
      const blob = this.#blob(descriptor.digest);
      if (blob?.state !== "present" || blob.size !== descriptor.size) return false;
      this.#db.run("INSERT OR IGNORE INTO members (app, digest) VALUES (?, ?)", app, descriptor.digest);
      this.#pin(lease, descriptor.digest);
      return true;
    });
  }

  tag(app: string, name: string): ContentRow | undefined {
    const row = this.#db.get(
      "SELECT digest, media_type, size FROM tags WHERE app = ? AND name = ?",
      app,
      name,
    );
    return row === undefined ? undefined : check(ContentRow, row, "the ledger's tags");
  }

  /** A manifest of the app, by digest. */
  manifest(app: string, digest: Digest): ContentRow | undefined {
    const row = this.#db.get(
      `SELECT manifests.digest, media_type, manifests.size FROM manifests
       JOIN members USING (app, digest) WHERE app = ? AND digest = ?`,
      app,
      digest,
    );
    return row === undefined ? undefined : check(ContentRow, row, "the ledger's manifests");
  }

  /** What in the app refers to a digest, oldest first. */
  referrers(app: string, subject: Digest): Descriptor[] {
    const rows = this.#db.all(
      "SELECT digest, media_type, size, entry FROM manifests WHERE app = ? AND subject = ? ORDER BY rowid",
      app,
      subject,
    );
    return rows.map((row) => {
      const { digest, media_type, size, entry } = check(EntryRow, row, "the ledger's manifests");
      const { artifactType, annotations } = checkJson(Entry, entry || "{}", "the ledger's manifests");
      return {
        ...{ mediaType: media_type, digest: parseDigest(digest), size },
        ...(artifactType ? { artifactType } : {}),
        ...(annotations ? { annotations } : {}),
      };
    });
  }

  /** The tags that end so, by name. */
  tagsOf(app: string, suffix: string): (ContentRow & { name: string })[] {
    return this.#db
      .all(
        "SELECT name, digest, media_type, size FROM tags WHERE app = ?1 AND substr(name, -length(?2)) = ?2 ORDER BY name",
        app,
        suffix,
      )
      .map((row) => check(TagRow, row, "the ledger's tags"));
  }

  async setTag(app: string, name: string, descriptor: Descriptor): Promise<void> {
    await this.#db.write(() => {
      this.requireMembers(app, [descriptor]);
      this.putTag(app, name, descriptor);
    });
  }

  /** Part of a larger transaction. */
  putTag(app: string, name: string, descriptor: Descriptor): void {
    this.#db.run(
      "INSERT OR REPLACE INTO tags (app, name, digest, media_type, size) VALUES (?, ?, ?, ?, ?)",
      ...[app, name, descriptor.digest, descriptor.mediaType, descriptor.size],
    );
  }

  /** Part of a larger transaction: drops the tags that end so. */
  dropTags(app: string, suffix: string): void {
    this.#db.run(
      `UPDATE manifests SET root = 0 WHERE app = ?1 AND digest IN
       (SELECT digest FROM tags WHERE app = ?1 AND substr(name, -length(?2)) = ?2)`,
      app,
      suffix,
    );
    this.#db.run("DELETE FROM tags WHERE app = ?1 AND substr(name, -length(?2)) = ?2", app, suffix);
  }

  /** Part of a larger transaction: a build keeps these from now on, and they go with it. */
  unroot(app: string, descriptors: readonly Descriptor[]): void {
    for (const { digest } of descriptors)
      this.#db.run("UPDATE manifests SET root = 0 WHERE app = ? AND digest = ?", app, digest);
  }

  /** Part of a larger transaction: every one of these must be the app's. */
  requireMembers(app: string, descriptors: Descriptor[]): void {
    for (const descriptor of descriptors)
      if (!this.#isMember(app, descriptor))
        throw new DavitError("not-found", `Cannot find ${descriptor.digest}: it is not in app ${app}`);
  }

  /** The compressed blob that was made from a layer with this diff id, by anyone in this rack. */
  layer(diffId: string): ContentRow | undefined {
    const row = this.#db.get("SELECT digest, media_type, size FROM layers WHERE diff_id = ?", diffId);
    return row === undefined ? undefined : check(ContentRow, row, "the ledger's layers");
  }

  /** Every blob that the app holds, sorted. */
  blobsOf(app: string): Digest[] {
    return this.#db
      .all(
        "SELECT digest FROM members JOIN blobs USING (digest) WHERE app = ? AND state = 'present' ORDER BY digest",
        app,
      )
      .map(digestRow);
  }

  /** Bytes of a blob that the pool holds. */
  sizeOf(digest: Digest): number | undefined {
    const blob = this.#blob(digest);
    return blob?.state === "present" ? blob.size : undefined;
  }

  async rememberLayer(diffId: string, layer: Descriptor): Promise<void> {
    await this.#db.write(() =>
      this.#db.run(
        "INSERT OR REPLACE INTO layers (diff_id, digest, media_type, size) VALUES (?, ?, ?, ?)",
        ...[diffId, layer.digest, layer.mediaType, layer.size],
      ),
    );
  }

  /**
   * Marks as `deleting` every blob that no tag, build or pin reaches, and forgets
   * who could see it. From here on it reads as absent; its file goes next.
   */
  async markGarbage(): Promise<Digest[]> {
    return await this.#db.write(() => {
      this.#db.run(`
        WITH RECURSIVE live(digest) AS (
          SELECT digest FROM tags
          UNION SELECT index_digest FROM builds WHERE index_digest <> ''
          UNION SELECT log_digest FROM builds WHERE log_digest <> ''
          UNION SELECT digest FROM objects
          UNION SELECT digest FROM pins
          UNION SELECT digest FROM manifests WHERE root = 1
          UNION SELECT edges.child FROM edges JOIN live ON edges.parent = live.digest
          UNION SELECT manifests.digest FROM manifests JOIN live ON manifests.subject = live.digest
        )
        UPDATE blobs SET state = 'deleting' WHERE digest NOT IN live`);
      const garbage = this.#db.all("SELECT digest FROM blobs WHERE state = 'deleting'").map(digestRow);
      for (const digest of garbage) {
        this.#db.run("DELETE FROM members WHERE digest = ?", digest);
        this.#db.run("DELETE FROM layers WHERE digest = ?", digest);
        this.#db.run("DELETE FROM manifests WHERE digest = ?", digest);
        this.#db.run("DELETE FROM edges WHERE parent = ?", digest);
      }
      return garbage;
    });
  }

  /** Everything that is here now stays for as long as the lease. */
  async pinAll(lease: string): Promise<void> {
    await this.#db.write(() =>
      this.#db.run(
        "INSERT OR IGNORE INTO pins (lease, digest) SELECT ?, digest FROM blobs WHERE state = 'present'",
        lease,
      ),
    );
  }

  /** These stay for as long as the lease; false when one of them is gone already. */
  async pinThese(lease: string, blobs: readonly { digest: Digest }[]): Promise<boolean> {
    return await this.#db.write(() => {
      if (blobs.some(({ digest }) => this.#blob(digest)?.state !== "present")) return false;
      for (const { digest } of blobs) this.#pin(lease, digest);
      return true;
    });
  }

  /** After the file is gone: the digest may be written again. */
  async forget(digests: Digest[]): Promise<void> {
    if (digests.length === 0) return;
    await this.#db.write(() => {
      for (const digest of digests)
        this.#db.run("DELETE FROM blobs WHERE digest = ? AND state = 'deleting'", digest);
    });
  }

  /** The digests of every build's index, with the name each has in the layout's view. */
  indexView(): { name: string; digest: string; size: number }[] {
    return this.#db
      .all(
        "SELECT app || '/' || id AS name, index_digest AS digest, index_size AS size FROM builds WHERE index_digest <> '' ORDER BY name",
      )
      .map((row) => check(ViewRow, row, "the ledger's builds"));
  }

  #isMember(app: string, descriptor: Descriptor): boolean {
    const row = this.#db.get(
      `SELECT 1 FROM members JOIN blobs USING (digest)
       WHERE app = ? AND digest = ? AND size = ? AND state = 'present'`,
      ...[app, descriptor.digest, descriptor.size],
    );
    return row !== undefined;
  }

  #blob(digest: Digest): { size: number; state: string } | undefined {
    const row = this.#db.get("SELECT size, state FROM blobs WHERE digest = ?", digest);
    return row === undefined ? undefined : check(BlobRow, row, "the ledger's blobs");
  }

  #pin(lease: string, digest: Digest): void {
    this.#db.run("INSERT OR IGNORE INTO pins (lease, digest) VALUES (?, ?)", lease, digest);
  }
}

const EntryRow = Type.Composite([ContentRow, Type.Object({ entry: Type.String() })]);
const Entry = Type.Object({
  artifactType: Type.Optional(Type.String()),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const TagRow = Type.Composite([ContentRow, Type.Object({ name: Type.String() })]);
const ViewRow = Type.Object({ name: Type.String(), digest: Type.String(), size: Type.Integer() });

function digestRow(row: unknown): Digest {
  return parseDigest(check(DigestRow, row, "the ledger's digests").digest);
}
