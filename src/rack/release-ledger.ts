import { DavitError } from "../errors.ts";
import { check } from "../schema.ts";
import { findApp, findLiveApp } from "./app-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { requireKeyOf } from "./rack-key-fence.ts";
import { ReleaseRow } from "./rows.ts";
import { all, first, page, run, type Steps } from "./steps.ts";

export interface SealedRelease {
  id: string;
  env: string;
  manifest: string;
  description: string;
  /** The release env was inherited from; the commit fails if another is newest by then. */
  parent: string;
}

/** The rack's releases: rows that never change, and which of an app's is active. */
export class ReleaseLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  /** Newest first; fewer than `limit` where their texts are long. */
  async list(app: string, limit: number): Promise<ReleaseRow[]> {
    return await this.#db.read(() => listReleases(app, limit));
  }

  async find(app: string, id: string): Promise<ReleaseRow> {
    return await this.#db.read(() => findRelease(app, id));
  }

  async newest(app: string): Promise<ReleaseRow | undefined> {
    return (await this.list(app, 1))[0];
  }

  async create(app: string, build: string, release: SealedRelease): Promise<void> {
    const created = this.#now().toISOString();
    await this.#db.write(function* () {
      yield* findLiveApp(app);
      yield* expectNewest(app, release.parent);
      yield* putRelease(app, build, release, created);
    });
  }

  /** Makes a release the app's active one. */
  async activate(app: string, id: string): Promise<void> {
    await this.#db.write(function* () {
      yield* requirePromotable(app, id, (yield* findLiveApp(app)).release);
      yield* run("UPDATE apps SET release = ? WHERE name = ?", id, app);
    });
  }
}

/** What is older than the active release takes a new one, by a rollback. */
export function* requirePromotable(app: string, id: string, active: string): Steps<void> {
  const wanted = yield* findRelease(app, id);
  if (wanted.manifest.trim() === "")
    throw new DavitError("invalid", "can not promote a release with an empty manifest");
  if (active !== "" && (yield* placeOf(id)) < (yield* placeOf(active)))
    throw new DavitError("invalid", "can not promote an older release, try rollback", {
      hint: `see \`davit releases rollback ${id} -a ${app}\``,
    });
}

function* listReleases(app: string, limit: number): Steps<ReleaseRow[]> {
  yield* findApp(app);
  return yield* page(limit, (last, count) => releasesBefore(app, last, count));
}

function* releasesBefore(app: string, last: ReleaseRow | undefined, count: number): Steps<ReleaseRow[]> {
  const rows =
    last === undefined
      ? yield* all("SELECT * FROM releases WHERE app = ? ORDER BY seq DESC LIMIT ?", app, count)
      : yield* all(
          "SELECT * FROM releases WHERE app = ? AND seq < (SELECT seq FROM releases WHERE id = ?) ORDER BY seq DESC LIMIT ?",
          ...[app, last.id, count],
        );
  return rows.map(releaseRow);
}

export function* findRelease(app: string, id: string): Steps<ReleaseRow> {
  yield* findApp(app);
  const row = yield* first("SELECT * FROM releases WHERE app = ? AND id = ?", app, id);
  if (row === undefined)
    throw new DavitError("not-found", `release not found: ${id}`, {
      hint: `see \`davit releases -a ${app}\``,
    });
  return releaseRow(row);
}

export function* expectNewest(app: string, parent: string): Steps<void> {
  const newest = (yield* listReleases(app, 1))[0]?.id ?? "";
  if (newest !== parent) throw new DavitError("outdated", `app ${app} got release ${newest} meanwhile`);
}

export function* putRelease(
  app: string,
  build: string,
  release: SealedRelease,
  created: string,
): Steps<void> {
  yield* requireKeyOf(release.env);
  yield* run(
    `INSERT INTO releases (id, app, seq, build, env, manifest, description, created)
     VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM releases), ?, ?, ?, ?, ?)`,
    ...[release.id, app, build, release.env, release.manifest, release.description, created],
  );
}

/** Where a release stands among all. */
function* placeOf(id: string): Steps<number> {
  const row = yield* first("SELECT seq FROM releases WHERE id = ?", id);
  return typeof row === "object" && row !== null && "seq" in row ? Number(row.seq) : 0;
}

function releaseRow(row: unknown): ReleaseRow {
  return check(ReleaseRow, row, "the ledger's releases");
}
