import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { check, Type } from "../schema.ts";
import { ContentLedger } from "./content-ledger.ts";
import { LedgerDatabase, type Value } from "./database.ts";
import type { App } from "./rack.ts";
import { RegistryLedger } from "./registry-ledger.ts";
import { appOf, type BuildRow, buildRow, ReleaseRow } from "./rows.ts";

/** How long an owner may be silent before its work counts as abandoned, in milliseconds. */
export const OWNER_LEASE = 60_000;

export interface NewBuild {
  id: string;
  app: string;
  description: string;
  gitSha: string;
  wildcardDomain: boolean;
}

/** What a build that worked out leaves behind; its release comes with it. */
export interface FinishedBuild {
  id: string;
  app: string;
  index: Descriptor;
  log: Descriptor;
  /** Names of the build's images, such as `web.BABCDEFGHIJ`. */
  tags: { name: string; descriptor: Descriptor }[];
  entrypoint: string;
  engine: string;
  ended: string;
  release: SealedRelease;
}

export interface SealedRelease {
  id: string;
  env: string;
  manifest: string;
  description: string;
  /** The release env was inherited from; the commit fails if another is newest by then. */
  parent: string;
}

/**
 * The rack's records. Every method is one whole operation: no transaction
 * leaves this file, so a reader of the ledger never meets half of a change.
 */
export class Ledger {
  readonly content: ContentLedger;
  readonly registry: RegistryLedger;
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  private constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
    this.content = new ContentLedger(db, () => now().getTime());
    this.registry = new RegistryLedger(db, () => now().getTime());
  }

  static async open(path: string, now: () => Date): Promise<Ledger> {
    return new Ledger(await LedgerDatabase.open(path), now);
  }

  close(): void {
    this.#db.close();
  }

  /** A fact about the rack, if it is known. */
  known(key: string): string | undefined {
    return this.#fact(key);
  }

  async setFact(key: string, value: string): Promise<void> {
    await this.#db.write(() =>
      this.#db.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value),
    );
  }

  /** A fact about the rack, made by `initial` the first time it is asked for. */
  async fact(key: string, initial: () => string): Promise<string> {
    return (
      this.#fact(key) ??
      (await this.#db.write(() => {
        this.#db.run("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", key, initial());
        return this.#fact(key) ?? "";
      }))
    );
  }

  #fact(key: string): string | undefined {
    const row = this.#db.get("SELECT value FROM meta WHERE key = ?", key);
    return row === undefined ? undefined : check(Fact, row, "the ledger's facts").value;
  }

  apps(): App[] {
    return this.#db.all("SELECT * FROM apps ORDER BY name").map(appOf);
  }

  app(name: string): App {
    const row = this.#db.get("SELECT * FROM apps WHERE name = ?", name);
    if (row === undefined)
      throw new DavitError("not-found", `app not found: ${name}`, {
        hint: "see `davit apps`, or name one with -a",
      });
    return appOf(row);
  }

  async createApp(name: string, generation = "3"): Promise<void> {
    await this.#db.write(() => {
      const created = this.#db.run(
        "INSERT OR IGNORE INTO apps (name, generation, created) VALUES (?, ?, ?)",
        ...[name, generation, this.#stamp()],
      );
      if (created === 0) throw new DavitError("exists", `app already exists: ${name}`);
    });
  }

  async deleteApp(name: string): Promise<void> {
    await this.#db.write(() => {
      if (this.app(name).locked) throw new DavitError("conflict", `app is locked: ${name}`);
      const busy = this.#db.get(
        "SELECT id FROM builds WHERE app = ? AND status IN ('created', 'running')",
        name,
      );
      if (busy !== undefined)
        throw new DavitError("conflict", `Cannot delete app ${name}: a build of it is running`, {
          hint: "wait for it, or stop it",
        });
      this.#db.run("DELETE FROM apps WHERE name = ?", name);
    });
  }

  /** Records a build that starts now and belongs to this process. */
  async startBuild(build: NewBuild): Promise<BuildRow> {
    return await this.#db.write(() => {
      this.#insertBuild(build, null);
      const owner = ownerText(thisProcess());
      this.#db.run(
        "UPDATE builds SET owner = ?, lease_until = ? WHERE id = ?",
        owner,
        this.#lease(),
        build.id,
      );
      return this.build(build.app, build.id);
    });
  }

  #insertBuild(
    { id, app, description, gitSha, wildcardDomain }: NewBuild,
    idempotencyKey: string | null,
  ): void {
    this.app(app);
    this.#db.run(
      `INSERT INTO builds (id, app, seq, status, description, git_sha, wildcard_domain, started, idempotency_key)
       VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM builds), 'running', ?, ?, ?, ?, ?)`,
      ...[id, app, description, gitSha, wildcardDomain ? 1 : 0, this.#stamp(), idempotencyKey],
    );
  }

  async setBuildManifest(id: string, manifest: string): Promise<void> {
    await this.#db.write(() => this.#db.run("UPDATE builds SET manifest = ? WHERE id = ?", manifest, id));
  }

  async renewBuild(id: string): Promise<void> {
    await this.#db.write(() =>
      this.#db.run("UPDATE builds SET lease_until = ? WHERE id = ?", this.#lease(), id),
    );
  }

  async appendLog(id: string, text: string): Promise<void> {
    await this.#db.write(() =>
      this.#db.run(
        "INSERT INTO log_chunks (build, seq, bytes) VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM log_chunks WHERE build = ?1), ?2)",
        id,
        text,
      ),
    );
  }

  /** What was logged after chunk `after`. */
  logChunks(id: string, after: number): { seq: number; bytes: string }[] {
    return this.#db
      .all("SELECT seq, bytes FROM log_chunks WHERE build = ? AND seq > ? ORDER BY seq LIMIT 256", id, after)
      .map((row) => check(LogChunk, row, "the ledger's logs"));
  }

  /** Build, release and tags become visible in one step, or the error `outdated` says that env has moved on. */
  async finishBuild(done: FinishedBuild): Promise<void> {
    await this.#db.write(() => {
      const { status } = this.build(done.app, done.id);
      if (status !== "running")
        throw new DavitError("conflict", `Cannot finish build ${done.id}: it is ${status}`);
      this.#complete(done);
      this.#db.run("DELETE FROM log_chunks WHERE build = ?", done.id);
    });
  }

  /** The whole of an import: finished builds that never ran here, all of them or none. */
  async importBuilds(
    imports: readonly { build: NewBuild; done: FinishedBuild }[],
    key?: string,
  ): Promise<void> {
    await this.#db.write(() => {
      for (const [i, { build, done }] of imports.entries()) {
        this.#insertBuild(build, key === undefined ? null : keyOf(key, i));
        this.#complete({ ...done, ended: this.#stamp() });
      }
    });
  }

  #complete({ id, app, release, tags, index, log, entrypoint, engine, ended }: FinishedBuild): void {
    this.#expectNewest(app, release.parent);
    this.content.requireMembers(app, [index, log, ...tags.map((tag) => tag.descriptor)]);
    for (const tag of tags) this.content.putTag(app, tag.name, tag.descriptor);
    this.#putRelease(app, id, release);
    this.#db.run(
      `UPDATE builds SET status = 'complete', release = ?, ended = ?, entrypoint = ?, engine = ?, manifest = ?,
       index_digest = ?, index_size = ?, log_digest = ?, log_size = ?, owner = '', lease_until = 0 WHERE id = ?`,
      ...[release.id, ended, entrypoint, engine, release.manifest],
      ...[index.digest, index.size, log.digest, log.size, id],
    );
  }

  /** The builds that an import with this key made. */
  importedAs(app: string, key: string): BuildRow[] {
    const found: BuildRow[] = [];
    for (;;) {
      const row = this.#db.get(
        "SELECT * FROM builds WHERE app = ? AND idempotency_key = ?",
        app,
        keyOf(key, found.length),
      );
      if (row === undefined) return found;
      found.push(buildRow(row));
    }
  }

  async failBuild(id: string, reason: string, log?: Descriptor): Promise<void> {
    await this.#db.write(() => {
      this.#db.run(
        `UPDATE builds SET status = 'failed', reason = ?, ended = ?, log_digest = ?, log_size = ?, owner = '', lease_until = 0
         WHERE id = ? AND status IN ('created', 'running')`,
        ...[reason, this.#stamp(), log?.digest ?? "", log?.size ?? 0, id],
      );
      if (log) this.#db.run("DELETE FROM log_chunks WHERE build = ?", id);
    });
  }

  /** Marks builds failed whose process is gone. Cheap when none is running. */
  async failAbandoned(): Promise<void> {
    const running = this.#db.all("SELECT * FROM builds WHERE status IN ('created', 'running')").map(buildRow);
    for (const build of running)
      if (isAbandoned(build.owner, build.lease_until, this.#now().getTime()))
        await this.failBuild(build.id, "the davit that ran it was stopped");
  }

  builds(app: string, limit: number): BuildRow[] {
    this.app(app);
    return this.#db
      .all("SELECT * FROM builds WHERE app = ? ORDER BY seq DESC LIMIT ?", app, limit)
      .map(buildRow);
  }

  build(app: string, id: string): BuildRow {
    const row = this.#db.get("SELECT * FROM builds WHERE app = ? AND id = ?", this.app(app).name, id);
    if (row === undefined)
      throw new DavitError("not-found", `build not found: ${id}`, { hint: `see \`davit builds -a ${app}\`` });
    return buildRow(row);
  }

  async deleteBuild(app: string, id: string): Promise<void> {
    await this.#db.write(() => {
      const build = this.build(app, id);
      if (build.status === "created" || build.status === "running")
        throw new DavitError("conflict", `Cannot delete build ${id}: it is running`, {
          hint: "wait for it, or stop it",
        });
      const active = this.app(app).release;
      if (active !== "" && this.release(app, active).build === id)
        throw new DavitError("conflict", `Cannot delete build ${id}: the active release ${active} uses it`, {
          hint: "promote another release first",
        });
      this.content.dropTags(app, `.${id}`);
      this.#db.run("DELETE FROM releases WHERE app = ? AND build = ?", app, id);
      this.#db.run("DELETE FROM builds WHERE id = ?", id);
    });
  }

  releases(app: string, limit: number): ReleaseRow[] {
    this.app(app);
    return this.#db
      .all("SELECT * FROM releases WHERE app = ? ORDER BY seq DESC LIMIT ?", app, limit)
      .map(releaseRow);
  }

  release(app: string, id: string): ReleaseRow {
    const row = this.#db.get("SELECT * FROM releases WHERE app = ? AND id = ?", this.app(app).name, id);
    if (row === undefined)
      throw new DavitError("not-found", `release not found: ${id}`, {
        hint: `see \`davit releases -a ${app}\``,
      });
    return releaseRow(row);
  }

  newestRelease(app: string): ReleaseRow | undefined {
    return this.releases(app, 1)[0];
  }

  async createRelease(
    app: string,
    build: string,
    release: SealedRelease,
    expectNewest: string,
  ): Promise<void> {
    await this.#db.write(() => {
      this.#expectNewest(app, expectNewest);
      if (build !== "") this.build(app, build);
      this.#putRelease(app, build, release);
    });
  }

  #expectNewest(app: string, parent: string): void {
    const newest = this.newestRelease(app)?.id ?? "";
    if (newest !== parent) throw new DavitError("outdated", `app ${app} got release ${newest} meanwhile`);
  }

  #putRelease(app: string, build: string, release: SealedRelease): void {
    this.#db.run(
      `INSERT INTO releases (id, app, seq, build, env, manifest, description, created)
       VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM releases), ?, ?, ?, ?, ?)`,
      ...[release.id, app, build, release.env, release.manifest, release.description, this.#stamp()],
    );
  }

  #stamp(): string {
    return this.#now().toISOString();
  }

  #lease(): Value {
    return this.#now().getTime() + OWNER_LEASE;
  }
}

const Fact = Type.Object({ value: Type.String() });
const LogChunk = Type.Object({ seq: Type.Integer(), bytes: Type.String() });

function releaseRow(row: unknown): ReleaseRow {
  return check(ReleaseRow, row, "the ledger's releases");
}

/** Each build of one import has a key of its own. */
function keyOf(key: string, place: number): string {
  return place === 0 ? key : `${key} ${place + 1}`;
}
