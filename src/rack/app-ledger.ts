import { DavitError } from "../errors.ts";
import { check, Type } from "../schema.ts";
import { pullSecret, resourceSecret } from "./app-secrets.ts";
import type { LedgerDatabase } from "./database.ts";
import { owe } from "./duty-ledger.ts";
import { newId } from "./ids.ts";
import { forgetMembers } from "./place-ledger.ts";
import { type App, FormerApp } from "./rack.ts";
import { appOf } from "./rows.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** The rack's apps. */
export class AppLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  /** By name. */
  async list(): Promise<App[]> {
    return (await this.#db.read(() => all("SELECT * FROM apps ORDER BY name"))).map(appOf);
  }

  /** The names, of these, of apps that are older than ids: their ids are their names. */
  async oldAmong(names: readonly string[]): Promise<string[]> {
    const old = await this.#db.read(() => all("SELECT * FROM apps WHERE id = name"));
    const known = new Set(old.map((row) => appOf(row).name));
    return names.filter((name) => known.has(name));
  }

  async find(name: string): Promise<App> {
    return await this.#db.read(() => findApp(name));
  }

  /** What tells the app from others that had its name before, or will have it. */
  async id(name: string): Promise<string> {
    return await this.#db.read(() => idOf(name));
  }

  /** The ids of all apps. */
  async ids(): Promise<string[]> {
    const rows = await this.#db.read(() => all("SELECT id FROM apps"));
    return rows.map((row) => check(IdRow, row, "the ledger's apps").id);
  }

  /** Makes an app under an id that no app had before; or under that of a former app, whose data is its own then. */
  async create(name: string, generation = "3", id = newId("A"), former?: string): Promise<void> {
    const created = this.#now().toISOString();
    await this.#db.write(function* () {
      if (former !== undefined && (yield* run("DELETE FROM former_apps WHERE id = ?", former)) === 0)
        throw new DavitError("not-found", `no deleted app has left data under the id ${former}`, {
          hint: "see `davit apps --deleted`",
        });
      const made = yield* run(
        "INSERT INTO apps (name, id, generation, created) VALUES (?, ?, ?, ?) ON CONFLICT (name) DO NOTHING",
        ...[name, former ?? id, generation, created],
      );
      if (made === 0) throw new DavitError("exists", `app already exists: ${name}`);
    });
  }

  /** Deleted apps that may have left data, the latest first. */
  async former(): Promise<FormerApp[]> {
    const rows = await this.#db.read(() => all("SELECT * FROM former_apps ORDER BY deleted DESC, id"));
    return rows.map((row) => check(FormerApp, row, "the ledger's former apps"));
  }

  async update(
    name: string,
    { locked, parameters }: { locked?: boolean | undefined; parameters?: Record<string, string> | undefined },
  ): Promise<void> {
    await this.#db.write(function* () {
      const app = yield* findLiveApp(name);
      yield* run(
        "UPDATE apps SET locked = ?, parameters = ? WHERE name = ?",
        ...[(locked ?? app.locked) ? 1 : 0, JSON.stringify({ ...app.parameters, ...parameters }), name],
      );
    });
  }
}

/** Removes an app with its records and its login for nodes. Its id is kept where data may be left under it. */
export function* removeApp(name: string, deleted: string): Steps<void> {
  const id = yield* idOf(name);
  yield* run("DELETE FROM params WHERE name = ?", `.${pullSecret(id)}`);
  yield* run(
    `INSERT INTO former_apps (id, name, deleted) SELECT ?1, ?2, ?3 WHERE EXISTS (
       SELECT 1 FROM apps WHERE name = ?2 AND release <> ''
       UNION SELECT 1 FROM params WHERE substr(name, 1, length(?4)) = ?4)`,
    ...[id, name, deleted, `.${resourceSecret(id, "")}`],
  );
  yield* forgetMembers(name);
  yield* run("DELETE FROM apps WHERE name = ?", name);
  yield* owe("collect", "directory");
}

/** Refuses an app that is locked, or that something is at work with. */
export function* requireRemovable(name: string): Steps<void> {
  if ((yield* findApp(name)).locked) throw new DavitError("conflict", `app is locked: ${name}`);
  const busy = yield* first("SELECT id FROM builds WHERE app = ? AND status IN ('created', 'running')", name);
  if (busy !== undefined)
    throw new DavitError("conflict", `Cannot delete app ${name}: a build of it is running`, {
      hint: "wait for it, or stop it",
    });
  if ((yield* first("SELECT app FROM promotions WHERE app = ?", name)) === undefined) return;
  yield* findLiveApp(name);
  throw new DavitError("conflict", `Cannot delete app ${name}: it is currently updating`, {
    hint: `wait for it, or davit apps cancel ${name}`,
  });
}

const IdRow = Type.Object({ id: Type.String() });

/** The app's id. */
export function* idOf(name: string): Steps<string> {
  yield* findApp(name);
  return check(IdRow, yield* first("SELECT id FROM apps WHERE name = ?", name), "the ledger's apps").id;
}

export function* findApp(name: string): Steps<App> {
  const row = yield* first("SELECT * FROM apps WHERE name = ?", name);
  if (row === undefined)
    throw new DavitError("not-found", `app not found: ${name}`, {
      hint: "see `davit apps`, or name one with -a",
    });
  return appOf(row);
}

/** An app that something new of may begin. */
export function* findLiveApp(name: string): Steps<App> {
  const app = yield* findApp(name);
  if (app.status === "deleting") throw new DavitError("conflict", `app ${name} is being deleted`);
  return app;
}
