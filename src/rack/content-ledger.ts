import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, checkJson, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { LeaseLedger } from "./lease-ledger.ts";
import { addMember, expectMember, isLeaving, isOwn, OWN } from "./place-ledger.ts";
import { ContentRow } from "./rows.ts";
import { all, first, page, run, type Steps } from "./steps.ts";

/** Blobs that hold one layer, each compressed in another way, that are looked at. */
const MOST_FORMS = 16;
/** Referrers in one page. */
const MOST_REFERRERS = 1000;
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
 * Which blobs the rack holds, which app may see which, and what keeps them from
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
    const member = await this.#db.read(() => isMember(app, descriptor));
    if (lease === undefined || !member) return member;
    return await this.#db.write(function* () {
      if (!(yield* isMember(app, descriptor))) return false;
      yield* pin(lease, descriptor.digest);
      return true;
    });
  }

  /**
   * Pins a digest that is about to be written to a store, so that a collector leaves
   * it alone. False while a collector is at it: wait and ask again. Whoever is stopped
   * before the blob is recorded has left a stray.
   */
  async claim(lease: string, app: string, digest: Digest, store = OWN): Promise<boolean> {
    return await this.#db.write(function* () {
      const blob = yield* findBlob(digest);
      if (blob?.state === "deleting" || (yield* isLeaving(store, digest))) return false;
      yield* pin(lease, digest);
      // What the ledger knows nothing of, in the rack's own pool, is found when the lease ends.
      if (store !== OWN || (blob && !(yield* isOwn(digest)))) yield* expectMember(app, digest, store);
      return true;
    });
  }

  /** Records a blob that is in place: it is the app's now. */
  async add(app: string, descriptor: Descriptor, lease: string, store = OWN): Promise<void> {
    await this.#db.write(() => addBlob(app, descriptor, [], lease, store));
  }

  /** Records a manifest, whose children must be the app's already. */
  async addManifest(app: string, manifest: NewManifest, lease: string, store = OWN): Promise<void> {
    const { descriptor, children, subject, entry, root = false, sparse = false } = manifest;
    await this.#db.write(function* () {
      if (!sparse) yield* requireMembers(app, children);
      yield* addBlob(app, descriptor, children, lease, store);
      yield* run(
        `INSERT INTO manifests (app, digest, media_type, size, root, subject, entry) VALUES (?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (app, digest) DO UPDATE SET media_type = excluded.media_type,
         root = CASE WHEN excluded.root = 1 THEN 1 ELSE manifests.root END`,
        ...[app, descriptor.digest, descriptor.mediaType, descriptor.size],
        ...[root ? 1 : 0, subject?.digest ?? "", entry ? JSON.stringify(entry) : ""],
      );
      // What an index names lives and goes with the index.
      yield* unroot(app, children);
    });
  }

  /** Makes a blob of the rack's own pool the app's; false when the pool lacks it. The caller has proof: see `Readable`. */
  async adopt(app: string, descriptor: Descriptor, lease: string): Promise<boolean> {
    return await this.#db.write(function* () {
      const blob = yield* findBlob(descriptor.digest);
      if (blob?.state !== "present" || blob.size !== descriptor.size) return false;
      if (!(yield* isOwn(descriptor.digest))) return false;
      yield* addMember(app, descriptor.digest, OWN);
      yield* pin(lease, descriptor.digest);
      return true;
    });
  }

  async tag(app: string, name: string): Promise<ContentRow | undefined> {
    return await this.#content(
      "SELECT digest, media_type, size FROM tags WHERE app = ? AND name = ?",
      app,
      name,
    );
  }

  /** A manifest of the app, by digest. */
  async manifest(app: string, digest: Digest): Promise<ContentRow | undefined> {
    return await this.#content(
      `SELECT manifests.digest, media_type, manifests.size FROM manifests
       JOIN members USING (app, digest) WHERE app = ? AND digest = ?`,
      app,
      digest,
    );
  }

  /** Blobs of any app whose uncompressed bytes have this digest: {@link MOST_FORMS} at most. */
  async layers(diffId: string): Promise<Descriptor[]> {
    const rows = await this.#db.read(() =>
      all(
        "SELECT digest, media_type, size FROM layers WHERE diff_id = ? ORDER BY digest LIMIT ?",
        diffId,
        MOST_FORMS,
      ),
    );
    return rows
      .map((row) => check(ContentRow, row, "the ledger's layers"))
      .map(({ media_type, digest, size }) => ({ mediaType: media_type, digest: parseDigest(digest), size }));
  }

  async #content(sql: string, ...values: string[]): Promise<ContentRow | undefined> {
    const row = await this.#db.read(() => first(sql, ...values));
    return row === undefined ? undefined : check(ContentRow, row, "the ledger's content");
  }

  /** A page of the app's manifests that refer to a digest, in the order of their own digests, beginning after `after`. */
  async referrers(app: string, subject: Digest, after = ""): Promise<Descriptor[]> {
    const rows = await this.#db.read(() =>
      page(MOST_REFERRERS, (last: EntryRow | undefined, count) =>
        referrersAfter(app, subject, last?.digest ?? after, count),
      ),
    );
    return rows.map(({ digest, media_type, size, entry }) => {
      const { artifactType, annotations } = checkJson(Entry, entry || "{}", "the ledger's manifests");
      return {
        ...{ mediaType: media_type, digest: parseDigest(digest), size },
        ...(artifactType ? { artifactType } : {}),
        ...(annotations ? { annotations } : {}),
      };
    });
  }

  /** The tags that end so, by name. */
  async tagsOf(app: string, suffix: string): Promise<(ContentRow & { name: string })[]> {
    const rows = await this.#db.read(() =>
      all(`SELECT name, digest, media_type, size FROM tags WHERE ${ENDS_SO} ORDER BY name`, app, suffix),
    );
    return rows.map((row) => check(TagRow, row, "the ledger's tags"));
  }

  async setTag(app: string, name: string, descriptor: Descriptor): Promise<void> {
    await this.#db.write(function* () {
      yield* requireMembers(app, [descriptor]);
      yield* putTag(app, name, descriptor);
    });
  }

  /** Every blob that the app holds, sorted. */
  async blobsOf(app: string): Promise<Digest[]> {
    const rows = await this.#db.read(() =>
      all(
        "SELECT digest FROM members JOIN blobs USING (digest) WHERE app = ? AND state = 'present' ORDER BY digest",
        app,
      ),
    );
    return rows.map(digestRow);
  }

  /** Records a fact about content: davit itself has hashed what the blob holds, uncompressed. */
  async rememberLayer(diffId: string, layer: Descriptor): Promise<void> {
    await this.#db.write(() =>
      run(
        `INSERT INTO layers (diff_id, digest, media_type, size) VALUES (?, ?, ?, ?)
         ON CONFLICT (diff_id, digest) DO UPDATE SET media_type = excluded.media_type`,
        ...[diffId, layer.digest, layer.mediaType, layer.size],
      ),
    );
  }

  /** Everything that is here now stays for as long as the lease. */
  async pinAll(lease: string): Promise<void> {
    await this.#db.write(() =>
      run(
        "INSERT INTO pins (lease, digest) SELECT ?, digest FROM blobs WHERE state = 'present' ON CONFLICT DO NOTHING",
        lease,
      ),
    );
  }

  /** These stay for as long as the lease; false when one of them is gone already. */
  async pinThese(lease: string, blobs: readonly { digest: Digest }[]): Promise<boolean> {
    return await this.#db.write(function* () {
      for (const { digest } of blobs) {
        if ((yield* findBlob(digest))?.state !== "present") return false;
        yield* pin(lease, digest);
      }
      return true;
    });
  }

  /** The digests of every build's index in the rack's own pool, with the name each has in the layout's view. */
  async indexView(): Promise<{ name: string; digest: string; size: number }[]> {
    const rows = await this.#db.read(() =>
      all(
        "SELECT app || '/' || id AS name, index_digest AS digest, index_size AS size FROM builds WHERE index_digest <> '' AND store = '' ORDER BY name",
      ),
    );
    return rows.map((row) => check(ViewRow, row, "the ledger's builds"));
  }
}

/** Of tags in app ?1, those whose name ends in ?2. */
const ENDS_SO = "app = ?1 AND substr(name, length(name) - length(?2) + 1) = ?2";

export function* putTag(app: string, name: string, { digest, mediaType, size }: Descriptor): Steps<void> {
  yield* run(
    `INSERT INTO tags (app, name, digest, media_type, size) VALUES (?, ?, ?, ?, ?) ON CONFLICT (app, name)
     DO UPDATE SET digest = excluded.digest, media_type = excluded.media_type, size = excluded.size`,
    ...[app, name, digest, mediaType, size],
  );
}

/** Drops the tags that end so. */
export function* dropTags(app: string, suffix: string): Steps<void> {
  yield* run(
    `UPDATE manifests SET root = 0 WHERE app = ?1 AND digest IN (SELECT digest FROM tags WHERE ${ENDS_SO})`,
    app,
    suffix,
  );
  yield* run(`DELETE FROM tags WHERE ${ENDS_SO}`, app, suffix);
}

/** A build, or an index, keeps these from now on, and they go with it. */
export function* unroot(app: string, descriptors: readonly Descriptor[]): Steps<void> {
  for (const { digest } of descriptors)
    yield* run("UPDATE manifests SET root = 0 WHERE app = ? AND digest = ?", app, digest);
}

/** Every one of these must be the app's. */
export function* requireMembers(app: string, descriptors: readonly Descriptor[]): Steps<void> {
  for (const descriptor of descriptors)
    if (!(yield* isMember(app, descriptor)))
      throw new DavitError("not-found", `Cannot find ${descriptor.digest}: it is not in app ${app}`);
}

function* isMember(app: string, { digest, size }: Descriptor): Steps<boolean> {
  const row = yield* first(
    `SELECT 1 FROM members JOIN blobs USING (digest)
     WHERE app = ? AND digest = ? AND size = ? AND state = 'present'`,
    ...[app, digest, size],
  );
  return row !== undefined;
}

function* findBlob(digest: Digest): Steps<{ size: number; state: string } | undefined> {
  const row = yield* first("SELECT size, state FROM blobs WHERE digest = ?", digest);
  return row === undefined ? undefined : check(BlobRow, row, "the ledger's blobs");
}

function* addBlob(
  app: string,
  { digest, size }: Descriptor,
  children: readonly Descriptor[],
  lease: string,
  store: string,
): Steps<void> {
  yield* run("INSERT INTO blobs (digest, size) VALUES (?, ?) ON CONFLICT DO NOTHING", digest, size);
  yield* addMember(app, digest, store);
  for (const child of children)
    yield* run(
      "INSERT INTO edges (parent, child) VALUES (?, ?) ON CONFLICT DO NOTHING",
      digest,
      child.digest,
    );
  yield* pin(lease, digest);
}

function* pin(lease: string, digest: Digest): Steps<void> {
  yield* run("INSERT INTO pins (lease, digest) VALUES (?, ?) ON CONFLICT DO NOTHING", lease, digest);
}

const EntryRow = Type.Composite([ContentRow, Type.Object({ entry: Type.String() })]);
type EntryRow = Static<typeof EntryRow>;
const Entry = Type.Object({
  artifactType: Type.Optional(Type.String()),
  annotations: Type.Optional(Type.Record(Type.String(), Type.String())),
});
const TagRow = Type.Composite([ContentRow, Type.Object({ name: Type.String() })]);
const ViewRow = Type.Object({ name: Type.String(), digest: Type.String(), size: Type.Integer() });

const DigestRow = Type.Object({ digest: Type.String() });

export function digestRow(row: unknown): Digest {
  return parseDigest(check(DigestRow, row, "the ledger's digests").digest);
}

function* referrersAfter(app: string, subject: Digest, after: string, count: number): Steps<EntryRow[]> {
  const rows = yield* all(
    `SELECT digest, media_type, size, entry FROM manifests
     WHERE app = ? AND subject = ? AND digest > ? ORDER BY digest LIMIT ?`,
    ...[app, subject, after, count],
  );
  return rows.map((row) => check(EntryRow, row, "the ledger's manifests"));
}
