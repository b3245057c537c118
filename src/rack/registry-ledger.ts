import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import type { UploadNotes } from "../oci/upload-journal.ts";
import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { newId } from "./ids.ts";
import { forgetMember, OWN } from "./place-ledger.ts";
import { all, first, run, type Steps, type Value } from "./steps.ts";

const NameRow = Type.Object({ name: Type.String() });
const SizeRow = Type.Object({ size: Type.Integer() });
const UploadRow = Type.Object({
  id: Type.String(),
  app: Type.String(),
  principal: Type.String(),
  /** Where its bytes go. */
  store: Type.String(),
});
export type UploadRow = Static<typeof UploadRow>;
const StoreRow = Type.Object({ store: Type.String() });
const LocationRow = Type.Object({ location: Type.String() });
const NamedRow = Type.Object({
  app: Type.String(),
  name: Type.String(),
  digest: Type.String(),
  media_type: Type.String(),
  size: Type.Integer(),
});
/** Apps that are looked at when a mount names no source. */
const MOST_HOLDERS = 100;
/** How long pins of the registry's visitors last at least, and how long one lease takes new ones, in milliseconds. */
const PINNED = 24 * 60 * 60 * 1000;
const BUCKET = 60 * 60 * 1000;

/** What a registry asks of the ledger beside what a store asks: names, uploads, referrers, deletes. */
export class RegistryLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;
  /** The lease of this hour, once it is there. */
  #lease: string | undefined;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  async hasRepository(name: string): Promise<boolean> {
    return (await this.#db.read(() => first("SELECT 1 FROM apps WHERE name = ?", name))) !== undefined;
  }

  async createRepository(name: string): Promise<void> {
    const created = new Date(this.#now()).toISOString();
    await this.#db.write(() =>
      run(
        "INSERT INTO apps (name, id, created) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        ...[name, newId("A"), created],
      ),
    );
  }

  async repositories(after: string, limit: number): Promise<string[]> {
    return await this.#db.read(() =>
      names("SELECT name FROM apps WHERE name > ? ORDER BY name LIMIT ?", after, limit),
    );
  }

  /** In the order of their bytes, as the specification wants them. */
  async tags(app: string, after: string, limit: number): Promise<string[]> {
    return await this.#db.read(() =>
      names("SELECT name FROM tags WHERE app = ? AND name > ? ORDER BY name LIMIT ?", app, after, limit),
    );
  }

  /** Every tag, and every manifest that is kept without one. */
  async names(): Promise<{ repository: string; tag: string; descriptor: Descriptor }[]> {
    const rows = await this.#db.read(() =>
      all(
        `SELECT app, name, digest, media_type, size FROM tags UNION ALL
         SELECT app, '', digest, media_type, size FROM manifests WHERE root = 1
         AND NOT EXISTS (SELECT 1 FROM tags WHERE tags.app = manifests.app AND tags.digest = manifests.digest)
         ORDER BY 1, 2, 3`,
      ),
    );
    return rows.map((row) => {
      const found = check(NamedRow, row, "the ledger's tags");
      return { repository: found.app, tag: found.name, descriptor: descriptorOf(found) };
    });
  }

  /** Drops the tags that are none of these. */
  async keepTags(places: { repository: string; tag?: string }[]): Promise<void> {
    const kept = new Set(places.map(({ repository, tag }) => `${repository}:${tag ?? ""}`));
    const gone = (await this.names()).filter(
      ({ repository, tag }) => tag !== "" && !kept.has(`${repository}:${tag}`),
    );
    for (const { repository, tag } of gone) await this.deleteTag(repository, tag);
  }

  /** A blob's size, where the app holds it. */
  async blob(app: string, digest: Digest): Promise<number | undefined> {
    return await this.#db.read(() => sizeIn(app, digest));
  }

  /** Apps that hold this blob, whether or not a visitor may read them: {@link MOST_HOLDERS} at most. */
  async holdersOf(digest: Digest): Promise<string[]> {
    return await this.#db.read(() =>
      names(
        "SELECT app AS name FROM members JOIN blobs USING (digest) WHERE digest = ? AND state = 'present' ORDER BY app LIMIT ?",
        digest,
        MOST_HOLDERS,
      ),
    );
  }

  async deleteTag(app: string, name: string): Promise<boolean> {
    return (await this.#db.write(() => run("DELETE FROM tags WHERE app = ? AND name = ?", app, name))) > 0;
  }

  /** Takes a manifest out of the app, with its tags. */
  async deleteManifest(app: string, digest: Digest): Promise<boolean> {
    return await this.#db.write(function* () {
      yield* run("DELETE FROM tags WHERE app = ? AND digest = ?", app, digest);
      yield* run("DELETE FROM manifests WHERE app = ? AND digest = ?", app, digest);
      return yield* forgetMember(app, digest);
    });
  }

  /** Takes a blob out of the app. A manifest of the app that names it keeps it: its digest is then the answer. */
  async deleteBlob(app: string, digest: Digest): Promise<"deleted" | "absent" | Digest> {
    return await this.#db.write(function* (): Steps<"deleted" | "absent" | Digest> {
      const [user] = yield* names(
        `SELECT parent AS name FROM edges JOIN manifests ON manifests.digest = edges.parent
         WHERE edges.child = ? AND manifests.app = ? LIMIT 1`,
        digest,
        app,
      );
      if (user !== undefined && (yield* sizeIn(app, digest)) !== undefined) return parseDigest(user);
      return (yield* forgetMember(app, digest)) ? "deleted" : "absent";
    });
  }

  /**
   * The lease that pins what visitors store, or are told exists, for a day: a
   * registry is never told when a push begins or ends. One an hour takes all of them.
   */
  async lease(): Promise<string> {
    const start = Math.floor(this.#now() / BUCKET) * BUCKET;
    const id = `registry-${start}`;
    if (this.#lease === id) return id;
    await this.#db.write(() =>
      run(
        "INSERT INTO leases (id, owner, until) VALUES (?, 'registry', ?) ON CONFLICT DO NOTHING",
        id,
        start + BUCKET + PINNED,
      ),
    );
    this.#lease = id;
    return id;
  }

  /** Begins an upload into a store; false where the principal has too many. */
  async beginUpload({ id, app, principal, store }: UploadRow, most: number): Promise<boolean> {
    const until = this.#now() + PINNED;
    return await this.#db.write(function* () {
      const row = yield* first(
        "SELECT id FROM uploads WHERE principal = ? LIMIT 1 OFFSET ?",
        principal,
        most - 1,
      );
      if (row !== undefined) return false;
      yield* run(
        "INSERT INTO uploads (id, app, principal, until, store) VALUES (?, ?, ?, ?, ?)",
        ...[id, app, principal, until, store],
      );
      return true;
    });
  }

  /** This upload, where it is this principal's, in this app, and not too old. */
  async upload(id: string, app: string, principal: string): Promise<UploadRow | undefined> {
    const row = await this.#db.read(() =>
      first(
        "SELECT id, app, principal, store FROM uploads WHERE id = ? AND app = ? AND principal = ? AND until > ?",
        ...[id, app, principal, this.#now()],
      ),
    );
    return row === undefined ? undefined : check(UploadRow, row, "the ledger's uploads");
  }

  /** The store an upload goes into. */
  async uploadStore(id: string): Promise<string> {
    const row = await this.#db.read(() => first("SELECT store FROM uploads WHERE id = ?", id));
    return row === undefined ? OWN : check(StoreRow, row, "the ledger's uploads").store;
  }

  /** Where an upload stands in a store outside. */
  notesOf(id: string): UploadNotes {
    const keep = async (location: string): Promise<void> => {
      await this.#db.write(() => run("UPDATE uploads SET location = ? WHERE id = ?", location, id));
    };
    const left = async (): Promise<string | undefined> => {
      const row = await this.#db.read(() => first("SELECT location FROM uploads WHERE id = ?", id));
      return row === undefined
        ? undefined
        : check(LocationRow, row, "the ledger's uploads").location || undefined;
    };
    return { left, keep, forget: () => keep("") };
  }

  async endUpload(id: string): Promise<void> {
    await this.#db.write(function* () {
      yield* run("DELETE FROM uploads WHERE id = ?", id);
      yield* run("DELETE FROM leaders WHERE name = ?", `upload ${id}`);
    });
  }

  /** Forgets uploads that are too old, and names those that are left. */
  async sweepUploads(): Promise<Set<string>> {
    const now = this.#now();
    return await this.#db.write(function* () {
      yield* run("DELETE FROM uploads WHERE until <= ?", now);
      yield* run("DELETE FROM leaders WHERE substr(name, 1, 7) = 'upload ' AND until <= ?", now);
      return new Set(yield* names("SELECT id AS name FROM uploads"));
    });
  }
}

function* names(sql: string, ...values: Value[]): Steps<string[]> {
  return (yield* all(sql, ...values)).map((row) => check(NameRow, row, "the ledger's names").name);
}

function* sizeIn(app: string, digest: Digest): Steps<number | undefined> {
  const row = yield* first(
    "SELECT size FROM members JOIN blobs USING (digest) WHERE app = ? AND digest = ? AND state = 'present'",
    app,
    digest,
  );
  return row === undefined ? undefined : check(SizeRow, row, "the ledger's blobs").size;
}

function descriptorOf(row: { digest: string; media_type: string; size: number }): Descriptor {
  return { mediaType: row.media_type, digest: parseDigest(row.digest), size: row.size };
}
