import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { findApp, findLiveApp } from "./app-ledger.ts";
import { dropTags, putTag, requireMembers, unroot } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { owe } from "./duty-ledger.ts";
import { addGrant, GrantLedger } from "./grant-ledger.ts";
import { dropLog, LogLedger } from "./log-ledger.ts";
import { OWN, storeOf } from "./place-ledger.ts";
import { expectNewest, findRelease, putRelease, type SealedRelease } from "./release-ledger.ts";
import { type BuildRow, buildRow } from "./rows.ts";
import { all, first, page, run, type Steps } from "./steps.ts";

/** How long an owner may be silent before its work counts as abandoned, in milliseconds. */
export const OWNER_LEASE = 60_000;
const STOPPED = "the davit that ran it was stopped";

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
  gitSha?: string;
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

/** The rack's builds: their rows, from the first to the last change. */
export class BuildLedger {
  readonly logs: LogLedger;
  readonly grants: GrantLedger;
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
    this.logs = new LogLedger(db);
    this.grants = new GrantLedger(db, () => now().getTime());
  }

  /** Records a build that starts now and belongs to this process. */
  async start(build: NewBuild): Promise<BuildRow> {
    return await this.#insert(build, "running", ownerText(thisProcess()), this.#lease());
  }

  /**
   * Records a build that waits: for its turn here, or for a client that builds it elsewhere, until
   * then (ms since 1970). `grant` is the hash of the secret that may push its images.
   */
  async create(build: NewBuild, until?: number, grant?: string): Promise<BuildRow> {
    const owner = until === undefined ? ownerText(thisProcess()) : "";
    return await this.#insert(build, "created", owner, until ?? this.#lease(), grant);
  }

  async #insert(
    build: NewBuild,
    status: string,
    owner: string,
    until: number,
    grant?: string,
  ): Promise<BuildRow> {
    const started = this.#stamp();
    return await this.#db.write(function* () {
      yield* insertBuild(build, null, started);
      yield* run(
        "UPDATE builds SET status = ?, owner = ?, lease_until = ? WHERE id = ?",
        ...[status, owner, until, build.id],
      );
      if (grant !== undefined) yield* addGrant(grant, build, until);
      return yield* findBuild(build.app, build.id);
    });
  }

  /** A build's turn has come. */
  async begin(id: string): Promise<void> {
    const begun = await this.#db.write(() =>
      run(
        "UPDATE builds SET status = 'running', lease_until = ? WHERE id = ? AND status = 'created'",
        this.#lease(),
        id,
      ),
    );
    if (begun === 0) throw new DavitError("conflict", `Cannot begin build ${id}: it has ended`);
  }

  /** Takes over a build that waits for its client, for this process to carry out; false where another has it. */
  async claim(app: string, id: string): Promise<boolean> {
    const me = `${ownerText(thisProcess())}.${crypto.randomUUID()}`;
    return await this.#db.write(function* () {
      yield* findOpen(app, id, "import");
      const claimed = yield* run(
        "UPDATE builds SET owner = ?, status = 'running' WHERE id = ? AND owner = ''",
        me,
        id,
      );
      return claimed > 0;
    });
  }

  /** What a client that builds elsewhere says of its build, while it goes on. */
  async note(app: string, id: string, note: BuildNote): Promise<void> {
    await this.#db.write(function* () {
      const row = { ...(yield* findOpen(app, id, "change")), ...note };
      yield* run(
        "UPDATE builds SET manifest = ?, entrypoint = ?, started = ?, release = ?, status = ?, git_sha = ? WHERE id = ?",
        ...[
          row.manifest,
          row.entrypoint,
          row.started,
          row.release,
          row.status,
          note.gitSha ?? row.git_sha,
          id,
        ],
      );
    });
  }

  /** Which of its releases a build shows. */
  async setRelease(app: string, id: string, release: string): Promise<void> {
    await this.#db.write(function* () {
      yield* findRelease(app, release);
      yield* run("UPDATE builds SET release = ? WHERE app = ? AND id = ?", release, app, id);
    });
  }

  async setManifest(id: string, manifest: string): Promise<void> {
    await this.#db.write(() => run("UPDATE builds SET manifest = ? WHERE id = ?", manifest, id));
  }

  /** Signs of life: these builds go on. */
  async renew(ids: readonly string[]): Promise<void> {
    const until = this.#lease();
    await this.#db.write(function* () {
      for (const id of ids) yield* run("UPDATE builds SET lease_until = ? WHERE id = ?", until, id);
    });
  }

  /** Puts the whole of a build that a client made in its place: from here on nothing of it changes. */
  async pin(done: Omit<FinishedBuild, "release" | "entrypoint">): Promise<void> {
    await this.#db.write(function* () {
      yield* findOpen(done.app, done.id, "complete");
      yield* putContent(done);
    });
  }

  /** Whether a tag belongs to a build that has ended: it never moves again. */
  async isSealedTag(app: string, tag: string): Promise<boolean> {
    const id = /\.(B[A-Z]{10})$/.exec(tag)?.[1] ?? tag;
    const ended = "SELECT 1 FROM builds WHERE app = ? AND id = ? AND status IN ('complete', 'failed')";
    return (await this.#db.read(() => first(ended, app, id))) !== undefined;
  }

  /** Build, release and tags become visible in one step, or the error `outdated` says that env has moved on. */
  async finish(done: FinishedBuild): Promise<void> {
    const stamp = this.#stamp();
    await this.#db.write(function* () {
      const { status } = yield* findBuild(done.app, done.id);
      if (status !== "running")
        throw new DavitError("conflict", `Cannot finish build ${done.id}: it is ${status}`);
      yield* complete(done, stamp);
    });
  }

  /**
   * The whole of an import: finished builds that never ran here, all of them or none. Returns
   * their ids; where another import had this key first, those of what it made.
   */
  async import(
    imports: readonly { build: NewBuild; done: FinishedBuild }[],
    key?: string,
  ): Promise<string[]> {
    const stamp = this.#stamp();
    return await this.#db.write(function* () {
      const [app] = imports.map(({ build }) => build.app);
      const before = key === undefined || app === undefined ? [] : yield* importedAs(app, key);
      if (before.length > 0) return before.map(({ id }) => id);
      for (const [i, { build, done }] of imports.entries()) {
        yield* insertBuild(build, key === undefined ? null : keyOf(key, i), stamp);
        yield* complete({ ...done, ended: stamp }, stamp);
      }
      return imports.map(({ build }) => build.id);
    });
  }

  /** The builds that an import with this key made. */
  async importedAs(app: string, key: string): Promise<BuildRow[]> {
    return await this.#db.read(() => importedAs(app, key));
  }

  async fail(id: string, reason: string, log?: Descriptor): Promise<void> {
    const ended = this.#stamp();
    await this.#db.write(function* () {
      yield* run(
        `UPDATE builds SET status = 'failed', reason = ?, ended = ?, log_digest = ?, log_size = ?, owner = '', lease_until = 0
         WHERE id = ? AND status IN ('created', 'running')`,
        ...[reason, ended, log?.digest ?? "", log?.size ?? 0, id],
      );
      if (log) yield* dropLog(id);
      yield* owe("collect");
    });
  }

  /** Marks builds failed whose process is gone, for good. Cheap when none is running. */
  async failAbandoned(): Promise<void> {
    const running = await this.#db.read(() =>
      all("SELECT * FROM builds WHERE status IN ('created', 'running')"),
    );
    for (const build of running.map(buildRow)) if (this.#isLeft(build)) await this.fail(build.id, STOPPED);
  }

  /** A build whose process is gone reads as failed, also before anybody has written that down. */
  #seen(row: BuildRow): BuildRow {
    if (!this.#isLeft(row)) return row;
    const ended = new Date(row.lease_until - OWNER_LEASE).toISOString();
    return { ...row, status: "failed", reason: STOPPED, ended: row.lease_until > OWNER_LEASE ? ended : "" };
  }

  #isLeft({ status, owner, lease_until }: BuildRow): boolean {
    const open = status === "created" || status === "running";
    return open && isAbandoned(owner, lease_until, this.#now().getTime(), this.#db.shared);
  }

  /** Newest first; fewer than `limit` where their texts are long. */
  async list(app: string, limit: number): Promise<BuildRow[]> {
    const rows = await this.#db.read(function* () {
      yield* findApp(app);
      return yield* page(limit, (last: BuildRow | undefined, count) => buildsBefore(app, last, count));
    });
    return rows.map((row) => this.#seen(row));
  }

  async find(app: string, id: string): Promise<BuildRow> {
    return this.#seen(await this.#db.read(() => findBuild(app, id)));
  }

  async remove(app: string, id: string): Promise<void> {
    await this.#db.write(function* () {
      const build = yield* findBuild(app, id);
      if (build.status === "created" || build.status === "running")
        throw new DavitError("conflict", `Cannot delete build ${id}: it is running`, {
          hint: "wait for it, or stop it",
        });
      const active = (yield* findApp(app)).release;
      if (active !== "" && (yield* findRelease(app, active)).build === id)
        throw new DavitError("conflict", `Cannot delete build ${id}: the active release ${active} uses it`, {
          hint: "promote another release first",
        });
      yield* dropTags(app, `.${id}`);
      yield* run("DELETE FROM releases WHERE app = ? AND build = ?", app, id);
      yield* run("DELETE FROM builds WHERE id = ?", id);
      yield* owe("collect", "directory");
    });
  }

  #stamp(): string {
    return this.#now().toISOString();
  }

  #lease(): number {
    return this.#now().getTime() + OWNER_LEASE;
  }
}

function* buildsBefore(app: string, last: BuildRow | undefined, count: number): Steps<BuildRow[]> {
  const rows =
    last === undefined
      ? yield* all("SELECT * FROM builds WHERE app = ? ORDER BY seq DESC LIMIT ?", app, count)
      : yield* all(
          "SELECT * FROM builds WHERE app = ? AND seq < (SELECT seq FROM builds WHERE id = ?) ORDER BY seq DESC LIMIT ?",
          ...[app, last.id, count],
        );
  return rows.map(buildRow);
}

function* findBuild(app: string, id: string): Steps<BuildRow> {
  yield* findApp(app);
  const row = yield* first("SELECT * FROM builds WHERE app = ? AND id = ?", app, id);
  if (row === undefined)
    throw new DavitError("not-found", `build not found: ${id}`, { hint: `see \`davit builds -a ${app}\`` });
  return buildRow(row);
}

function* importedAs(app: string, key: string): Steps<BuildRow[]> {
  for (const found: BuildRow[] = []; ; ) {
    const row = yield* first(
      "SELECT * FROM builds WHERE app = ? AND idempotency_key = ?",
      ...[app, keyOf(key, found.length)],
    );
    if (row === undefined) return found;
    found.push(buildRow(row));
  }
}

function* findOpen(app: string, id: string, to: string): Steps<BuildRow> {
  const row = yield* findBuild(app, id);
  if (row.status !== "created" && row.status !== "running")
    throw new DavitError("conflict", `Cannot ${to} build ${id}: it is ${row.status}`);
  return row;
}

function* insertBuild(
  { id, app, description, gitSha, wildcardDomain }: NewBuild,
  idempotencyKey: string | null,
  started: string,
): Steps<void> {
  yield* findLiveApp(app);
  yield* run(
    `INSERT INTO builds (id, app, seq, status, description, git_sha, wildcard_domain, started, idempotency_key)
     VALUES (?, ?, (SELECT coalesce(max(seq), 0) + 1 FROM builds), 'running', ?, ?, ?, ?, ?)`,
    ...[id, app, description, gitSha, wildcardDomain ? 1 : 0, started, idempotencyKey],
  );
}

function* complete(done: FinishedBuild, stamp: string): Steps<void> {
  const { id, app, release, entrypoint } = done;
  yield* expectNewest(app, release.parent);
  yield* putContent(done);
  yield* putRelease(app, id, release, stamp);
  yield* run(
    "UPDATE builds SET release = ?, entrypoint = ?, manifest = ? WHERE id = ?",
    ...[release.id, entrypoint, release.manifest, id],
  );
}

/** What a build is made of is all here; it is complete, and nobody may push to it any more. */
function* putContent(done: Omit<FinishedBuild, "release" | "entrypoint">): Steps<void> {
  const { id, app, index, log, tags, engine, ended } = done;
  const images = tags.map(({ descriptor }) => descriptor);
  yield* requireMembers(app, [index, log, ...images]);
  for (const tag of tags) yield* putTag(app, tag.name, tag.descriptor);
  yield* unroot(app, [index, ...images]);
  yield* run(
    `UPDATE builds SET status = 'complete', ended = ?, engine = ?, index_digest = ?, index_size = ?,
     log_digest = ?, log_size = ?, owner = '', lease_until = 0, store = ? WHERE id = ?`,
    ...[ended, engine, index.digest, index.size, log.digest, log.size],
    ...[(yield* storeOf(app, index.digest)) ?? OWN, id],
  );
  yield* dropLog(id);
  yield* run("DELETE FROM grants WHERE build = ?", id);
  yield* owe("directory");
}

/** Each build of one import has a key of its own. */
function keyOf(key: string, place: number): string {
  return place === 0 ? key : `${key} ${place + 1}`;
}
