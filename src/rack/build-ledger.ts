import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { check, Type } from "../schema.ts";
import type { AppLedger } from "./app-ledger.ts";
import type { ContentLedger } from "./content-ledger.ts";
import type { LedgerDatabase, Value } from "./database.ts";
import type { ReleaseLedger, SealedRelease } from "./release-ledger.ts";
import { type BuildRow, buildRow } from "./rows.ts";

/** How long an owner may be silent before its work counts as abandoned, in milliseconds. */
export const OWNER_LEASE = 60_000;

export interface NewBuild {
  id: string;
  app: string;
  description: string;
  gitSha: string;
  wildcardDomain: boolean;
}

/** Whatever is left out stays as it is. */
export interface BuildNote {
  manifest?: string;
  entrypoint?: string;
  started?: string;
  release?: string;
  status?: "created" | "running";
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

/** The rack's builds: their rows, from the first to the last change, and their logs while they grow. */
export class BuildLedger {
  readonly #db: LedgerDatabase;
  readonly #apps: AppLedger;
  readonly #releases: ReleaseLedger;
  readonly #content: ContentLedger;
  readonly #now: () => Date;

  constructor(
    db: LedgerDatabase,
    apps: AppLedger,
    releases: ReleaseLedger,
    content: ContentLedger,
    now: () => Date,
  ) {
    this.#db = db;
    this.#apps = apps;
    this.#releases = releases;
    this.#content = content;
    this.#now = now;
  }

  /** Records a build that starts now and belongs to this process. */
  async start(build: NewBuild): Promise<BuildRow> {
    return await this.#db.write(() => {
      this.#insertBuild(build, null);
      const owner = ownerText(thisProcess());
      this.#db.run(
        "UPDATE builds SET owner = ?, lease_until = ? WHERE id = ?",
        owner,
        this.#lease(),
        build.id,
      );
      return this.find(build.app, build.id);
    });
  }

  /** Records a build that waits: for its turn here, or for a client that builds it elsewhere, until then (ms since 1970). */
  async create(build: NewBuild, until?: number): Promise<BuildRow> {
    return await this.#db.write(() => {
      this.#insertBuild(build, null);
      const owner = until === undefined ? ownerText(thisProcess()) : "";
      this.#db.run(
        "UPDATE builds SET status = 'created', owner = ?, lease_until = ? WHERE id = ?",
        ...[owner, until ?? this.#lease(), build.id],
      );
      return this.find(build.app, build.id);
    });
  }

  /** A build's turn has come. */
  async begin(id: string): Promise<void> {
    await this.#db.write(() => {
      const begun = this.#db.run(
        "UPDATE builds SET status = 'running', lease_until = ? WHERE id = ? AND status = 'created'",
        this.#lease(),
        id,
      );
      if (begun === 0) throw new DavitError("conflict", `Cannot begin build ${id}: it has ended`);
    });
  }

  /** What a client that builds elsewhere says of its build, while it goes on. */
  async note(app: string, id: string, note: BuildNote): Promise<void> {
    await this.#db.write(() => {
      const row = this.find(app, id);
      if (row.status !== "created" && row.status !== "running")
        throw new DavitError("conflict", `Cannot change build ${id}: it is ${row.status}`);
      const { manifest, entrypoint, started, release, status } = { ...row, ...note };
      this.#db.run(
        "UPDATE builds SET manifest = ?, entrypoint = ?, started = ?, release = ?, status = ? WHERE id = ?",
        ...[manifest, entrypoint, started, release, status, id],
      );
    });
  }

  /** Which of its releases a build shows. */
  async setRelease(app: string, id: string, release: string): Promise<void> {
    await this.#db.write(() => {
      this.#releases.find(app, release);
      this.#db.run("UPDATE builds SET release = ? WHERE app = ? AND id = ?", release, app, id);
    });
  }

  /** Puts the whole of a build that a client made in its place: from here on nothing of it changes. */
  async pin(done: Omit<FinishedBuild, "release" | "entrypoint">): Promise<void> {
    await this.#db.write(() => {
      const { status } = this.find(done.app, done.id);
      if (status !== "created" && status !== "running")
        throw new DavitError("conflict", `Cannot complete build ${done.id}: it is ${status}`);
      this.#content.requireMembers(done.app, [
        done.index,
        done.log,
        ...done.tags.map((tag) => tag.descriptor),
      ]);
      for (const tag of done.tags) this.#content.putTag(done.app, tag.name, tag.descriptor);
      this.#content.unroot(done.app, [done.index, ...done.tags.map((tag) => tag.descriptor)]);
      this.#db.run(
        `UPDATE builds SET status = 'complete', ended = ?, engine = ?, index_digest = ?, index_size = ?,
         log_digest = ?, log_size = ?, owner = '', lease_until = 0 WHERE id = ?`,
        ...[done.ended, done.engine, done.index.digest, done.index.size, done.log.digest, done.log.size],
        done.id,
      );
      this.#db.run("DELETE FROM log_chunks WHERE build = ?", done.id);
      this.#db.run("DELETE FROM grants WHERE build = ?", done.id);
    });
  }

  /** Whether a tag belongs to a build that has ended: it never moves again. */
  isSealedTag(app: string, tag: string): boolean {
    const id = /\.(B[A-Z]{10})$/.exec(tag)?.[1] ?? tag;
    return (
      this.#db.get(
        "SELECT 1 FROM builds WHERE app = ? AND id = ? AND status IN ('complete', 'failed')",
        app,
        id,
      ) !== undefined
    );
  }

  /** Lets whoever has the secret with this hash push the images of one build, while it goes on. */
  async grant(hash: string, app: string, build: string, until: number): Promise<void> {
    await this.#db.write(() =>
      this.#db.run(
        "INSERT INTO grants (hash, app, build, until) VALUES (?, ?, ?, ?)",
        ...[hash, app, build, until],
      ),
    );
  }

  granted(hash: string): { app: string; build: string } | undefined {
    const row = this.#db.get(
      `SELECT grants.app, build FROM grants JOIN builds ON builds.id = grants.build
       WHERE hash = ? AND until > ? AND builds.status IN ('created', 'running')`,
      hash,
      this.#now().getTime(),
    );
    return row === undefined ? undefined : check(GrantRow, row, "the ledger's grants");
  }

  #insertBuild(
    { id, app, description, gitSha, wildcardDomain }: NewBuild,
    idempotencyKey: string | null,
  ): void {
    this.#apps.find(app);
    this.#db.run(
      `INSERT INTO builds (id, app, seq, status, description, git_sha, wildcard_domain, started, idempotency_key)
       VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM builds), 'running', ?, ?, ?, ?, ?)`,
      ...[id, app, description, gitSha, wildcardDomain ? 1 : 0, this.#stamp(), idempotencyKey],
    );
  }

  async setManifest(id: string, manifest: string): Promise<void> {
    await this.#db.write(() => this.#db.run("UPDATE builds SET manifest = ? WHERE id = ?", manifest, id));
  }

  async renew(id: string): Promise<void> {
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
  async finish(done: FinishedBuild): Promise<void> {
    await this.#db.write(() => {
      const { status } = this.find(done.app, done.id);
      if (status !== "running")
        throw new DavitError("conflict", `Cannot finish build ${done.id}: it is ${status}`);
      this.#complete(done);
      this.#db.run("DELETE FROM log_chunks WHERE build = ?", done.id);
    });
  }

  /** The whole of an import: finished builds that never ran here, all of them or none. */
  async import(imports: readonly { build: NewBuild; done: FinishedBuild }[], key?: string): Promise<void> {
    await this.#db.write(() => {
      for (const [i, { build, done }] of imports.entries()) {
        this.#insertBuild(build, key === undefined ? null : keyOf(key, i));
        this.#complete({ ...done, ended: this.#stamp() });
      }
    });
  }

  #complete({ id, app, release, tags, index, log, entrypoint, engine, ended }: FinishedBuild): void {
    this.#releases.expectNewest(app, release.parent);
    this.#content.requireMembers(app, [index, log, ...tags.map((tag) => tag.descriptor)]);
    for (const tag of tags) this.#content.putTag(app, tag.name, tag.descriptor);
    this.#content.unroot(app, [index, ...tags.map((tag) => tag.descriptor)]);
    this.#releases.put(app, id, release);
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

  async fail(id: string, reason: string, log?: Descriptor): Promise<void> {
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
        await this.fail(build.id, "the davit that ran it was stopped");
  }

  list(app: string, limit: number): BuildRow[] {
    this.#apps.find(app);
    return this.#db
      .all("SELECT * FROM builds WHERE app = ? ORDER BY seq DESC LIMIT ?", app, limit)
      .map(buildRow);
  }

  find(app: string, id: string): BuildRow {
    const row = this.#db.get("SELECT * FROM builds WHERE app = ? AND id = ?", this.#apps.find(app).name, id);
    if (row === undefined)
      throw new DavitError("not-found", `build not found: ${id}`, { hint: `see \`davit builds -a ${app}\`` });
    return buildRow(row);
  }

  async remove(app: string, id: string): Promise<void> {
    await this.#db.write(() => {
      const build = this.find(app, id);
      if (build.status === "created" || build.status === "running")
        throw new DavitError("conflict", `Cannot delete build ${id}: it is running`, {
          hint: "wait for it, or stop it",
        });
      const active = this.#apps.find(app).release;
      if (active !== "" && this.#releases.find(app, active).build === id)
        throw new DavitError("conflict", `Cannot delete build ${id}: the active release ${active} uses it`, {
          hint: "promote another release first",
        });
      this.#content.dropTags(app, `.${id}`);
      this.#db.run("DELETE FROM releases WHERE app = ? AND build = ?", app, id);
      this.#db.run("DELETE FROM builds WHERE id = ?", id);
    });
  }

  #stamp(): string {
    return this.#now().toISOString();
  }

  #lease(): Value {
    return this.#now().getTime() + OWNER_LEASE;
  }
}

const GrantRow = Type.Object({ app: Type.String(), build: Type.String() });
const LogChunk = Type.Object({ seq: Type.Integer(), bytes: Type.String() });

/** Each build of one import has a key of its own. */
function keyOf(key: string, place: number): string {
  return place === 0 ? key : `${key} ${place + 1}`;
}
