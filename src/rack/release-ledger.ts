import { DavitError } from "../errors.ts";
import { check } from "../schema.ts";
import type { AppLedger } from "./app-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { ReleaseRow } from "./rows.ts";

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
  readonly #apps: AppLedger;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, apps: AppLedger, now: () => Date) {
    this.#db = db;
    this.#apps = apps;
    this.#now = now;
  }

  /** Newest first. */
  list(app: string, limit: number): ReleaseRow[] {
    this.#apps.find(app);
    return this.#db
      .all("SELECT * FROM releases WHERE app = ? ORDER BY seq DESC LIMIT ?", app, limit)
      .map(releaseRow);
  }

  find(app: string, id: string): ReleaseRow {
    const row = this.#db.get(
      "SELECT * FROM releases WHERE app = ? AND id = ?",
      this.#apps.find(app).name,
      id,
    );
    if (row === undefined)
      throw new DavitError("not-found", `release not found: ${id}`, {
        hint: `see \`davit releases -a ${app}\``,
      });
    return releaseRow(row);
  }

  newest(app: string): ReleaseRow | undefined {
    return this.list(app, 1)[0];
  }

  async create(app: string, build: string, release: SealedRelease): Promise<void> {
    await this.#db.write(() => {
      this.expectNewest(app, release.parent);
      this.put(app, build, release);
    });
  }

  /** Makes a release the app's active one. What is older than the active one takes a new release, by a rollback. */
  async activate(app: string, id: string): Promise<void> {
    await this.#db.write(() => {
      const wanted = this.find(app, id);
      const active = this.#apps.find(app).release;
      if (wanted.manifest.trim() === "")
        throw new DavitError("invalid", "can not promote a release with an empty manifest");
      if (active !== "" && this.#place(id) < this.#place(active))
        throw new DavitError("invalid", "can not promote an older release, try rollback", {
          hint: `davit releases rollback ${id} -a ${app}`,
        });
      this.#db.run("UPDATE apps SET release = ? WHERE name = ?", id, app);
    });
  }

  #place(id: string): number {
    const row = this.#db.get("SELECT seq FROM releases WHERE id = ?", id);
    return typeof row === "object" && row !== null && "seq" in row ? Number(row.seq) : 0;
  }

  /** Part of a larger transaction. */
  expectNewest(app: string, parent: string): void {
    const newest = this.newest(app)?.id ?? "";
    if (newest !== parent) throw new DavitError("outdated", `app ${app} got release ${newest} meanwhile`);
  }

  /** Part of a larger transaction. */
  put(app: string, build: string, release: SealedRelease): void {
    this.#db.run(
      `INSERT INTO releases (id, app, seq, build, env, manifest, description, created)
       VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM releases), ?, ?, ?, ?, ?)`,
      ...[release.id, app, build, release.env, release.manifest, release.description],
      this.#now().toISOString(),
    );
  }
}

function releaseRow(row: unknown): ReleaseRow {
  return check(ReleaseRow, row, "the ledger's releases");
}
