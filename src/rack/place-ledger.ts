import type { Descriptor } from "../oci/descriptor.ts";
import { type Digest, parseDigest } from "../oci/digest.ts";
import { check, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** What rows call the rack's own pool. Other stores are `HOST/PREFIX`. */
export const OWN = "";

/** A blob of an app, and the store it is in. */
export interface Member {
  app: string;
  store: string;
  descriptor: Descriptor;
}

/**
 * In which store an app's blob is. A member is read from one store; what is left of it
 * in others, and nobody reads any more, is a stray for the collector.
 */
export class PlaceLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  /** The store that holds a blob for the app; undefined where the app has no such blob. */
  async storeOf(app: string, digest: Digest): Promise<string | undefined> {
    return await this.#db.read(() => storeOf(app, digest));
  }

  /** An app that has this blob, in that store if any has it there. */
  async holder(digest: Digest, store: string): Promise<Member | undefined> {
    const rows = await this.#db.read(() => all(`${MEMBERS} AND members.digest = ?`, digest));
    const members = rows.map(memberOf);
    return members.find((member) => member.store === store) ?? members[0];
  }

  /** Some of what is in other stores than this one, in order: manifests only, or anything. */
  async elsewhere(
    store: string,
    { after, manifests = false, limit }: { after?: Member | undefined; manifests?: boolean; limit: number },
  ): Promise<Member[]> {
    const rows = await this.#db.read(() =>
      all(
        `${MEMBERS} AND members.store <> ?1 ${manifests ? "AND media_type IS NOT NULL" : ""}
         AND (members.app > ?2 OR (members.app = ?2 AND members.digest > ?3))
         ORDER BY members.app, members.digest LIMIT ?4`,
        ...[store, after?.app ?? "", after?.descriptor.digest ?? "", limit],
      ),
    );
    return rows.map(memberOf);
  }

  /** Blobs and bytes that are in other stores than this one. */
  async countElsewhere(store: string): Promise<{ blobs: number; bytes: number }> {
    const row = await this.#db.read(() =>
      first(
        `SELECT CAST(count(*) AS INTEGER) AS blobs, coalesce(sum(size), 0) AS bytes FROM members
         JOIN blobs USING (digest) WHERE state = 'present' AND members.store <> ?`,
        store,
      ),
    );
    return check(CountRow, row, "the ledger's members");
  }

  /** What a manifest names, as far as the app has it. */
  async below(app: string, parent: Digest): Promise<Member[]> {
    const rows = await this.#db.read(() =>
      all(
        `${MEMBERS} AND members.app = ? AND members.digest IN (SELECT child FROM edges WHERE parent = ?)`,
        app,
        parent,
      ),
    );
    return rows.map(memberOf);
  }

  /** The names that a store outside knows a manifest by: its tags, and the builds whose index it is. */
  async namesOf(app: string, digest: Digest): Promise<string[]> {
    const rows = await this.#db.read(() =>
      all(
        `SELECT name FROM tags WHERE app = ?1 AND digest = ?2
         UNION SELECT id AS name FROM builds WHERE app = ?1 AND index_digest = ?2 ORDER BY name`,
        app,
        digest,
      ),
    );
    return rows.map((row) => check(NameRow, row, "the ledger's names").name);
  }

  /** Whether a blob is kept for its own sake: as a file of somebody's, or as a log. */
  async isLoose(app: string, digest: Digest): Promise<boolean> {
    const row = await this.#db.read(() =>
      first(
        `SELECT 1 FROM objects WHERE app = ?1 AND digest = ?2
         UNION SELECT 1 FROM builds WHERE app = ?1 AND log_digest = ?2`,
        app,
        digest,
      ),
    );
    return row !== undefined;
  }

  /** A copy is in place in another store: from now on it is read from there. */
  async flip({ app, store, descriptor: { digest } }: Member, to: string): Promise<void> {
    await this.#db.write(function* () {
      const now = yield* storeOf(app, digest);
      if (now === store) yield* addMember(app, digest, to);
      else if (now !== to) yield* leave(app, digest, to);
      yield* run(
        "UPDATE builds SET store = ? WHERE app = ? AND index_digest = ?",
        now === store ? to : (now ?? to),
        app,
        digest,
      );
    });
  }
}

const MEMBERS = `SELECT members.app, members.digest, store, blobs.size, coalesce(media_type, '') AS media_type
  FROM members JOIN blobs USING (digest)
  LEFT JOIN manifests ON manifests.app = members.app AND manifests.digest = members.digest
  WHERE state = 'present'`;
const MemberRow = Type.Object({
  app: Type.String(),
  digest: Type.String(),
  store: Type.String(),
  size: Type.Integer(),
  media_type: Type.String(),
});
const CountRow = Type.Object({ blobs: Type.Integer(), bytes: Type.Number() });
const NameRow = Type.Object({ name: Type.String() });
const StoreRow = Type.Object({ store: Type.String() });

function memberOf(row: unknown): Member {
  const { app, store, digest, size, media_type } = check(MemberRow, row, "the ledger's members");
  const mediaType = media_type || "application/octet-stream";
  return { app, store, descriptor: { mediaType, digest: parseDigest(digest), size } };
}

export function* storeOf(app: string, digest: Digest): Steps<string | undefined> {
  const row = yield* first("SELECT store FROM members WHERE app = ? AND digest = ?", app, digest);
  return row === undefined ? undefined : check(StoreRow, row, "the ledger's members").store;
}

/** The app has the blob, in this store; what it had in another is left there. */
export function* addMember(app: string, digest: Digest, store: string): Steps<void> {
  const before = yield* storeOf(app, digest);
  if (before !== undefined && before !== store) yield* leave(app, digest, before);
  yield* run(
    `INSERT INTO members (app, digest, store) VALUES (?, ?, ?)
     ON CONFLICT (app, digest) DO UPDATE SET store = excluded.store`,
    ...[app, digest, store],
  );
  yield* run(
    "DELETE FROM strays WHERE store = ? AND app = ? AND digest = ? AND state = 'left'",
    ...[store, store === OWN ? "" : app, digest],
  );
}

/** The app is about to have the blob in this store; unless it comes to that, it is a stray. */
export function* expectMember(app: string, digest: Digest, store: string): Steps<void> {
  if ((yield* storeOf(app, digest)) !== store) yield* leave(app, digest, store);
}

/** The app has it no longer. */
export function* forgetMember(app: string, digest: Digest): Steps<boolean> {
  const store = yield* storeOf(app, digest);
  if (store === undefined) return false;
  yield* leave(app, digest, store);
  yield* run("DELETE FROM members WHERE app = ? AND digest = ?", app, digest);
  return true;
}

/** The app has nothing any more. */
export function* forgetMembers(app: string): Steps<void> {
  yield* run(leaveMembers("app = ?"), app);
}

/** Apps share the rack's own pool: what is left there is nobody's in particular. */
export function leaveMembers(which: string): string {
  return `INSERT INTO strays (store, app, digest)
    SELECT store, CASE WHEN store = '${OWN}' THEN '' ELSE app END, digest FROM members
    WHERE ${which} ON CONFLICT DO NOTHING`;
}

function* leave(app: string, digest: Digest, store: string): Steps<void> {
  yield* run(
    "INSERT INTO strays (store, app, digest) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    ...[store, store === OWN ? "" : app, digest],
  );
}

/** Whether the rack's own pool has the blob's file for anybody. */
export function* isOwn(digest: Digest): Steps<boolean> {
  const row = yield* first(`SELECT 1 FROM members WHERE digest = ? AND store = '${OWN}'`, digest);
  return row !== undefined;
}

/** Whether a collector is at the blob in this store. */
export function* isLeaving(store: string, digest: Digest): Steps<boolean> {
  const row = yield* first(
    "SELECT 1 FROM strays WHERE store = ? AND digest = ? AND state = 'deleting'",
    store,
    digest,
  );
  return row !== undefined;
}
