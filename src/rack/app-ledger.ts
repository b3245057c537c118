import { DavitError } from "../errors.ts";
import type { LedgerDatabase } from "./database.ts";
import { forgetMembers } from "./place-ledger.ts";
import type { App } from "./rack.ts";
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

  async find(name: string): Promise<App> {
    return await this.#db.read(() => findApp(name));
  }

  async create(name: string, generation = "3"): Promise<void> {
    const created = await this.#db.write(() =>
      run(
        "INSERT INTO apps (name, generation, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ...[name, generation, this.#now().toISOString()],
      ),
    );
    if (created === 0) throw new DavitError("exists", `app already exists: ${name}`);
  }

  async update(
    name: string,
    { locked, parameters }: { locked?: boolean | undefined; parameters?: Record<string, string> | undefined },
  ): Promise<void> {
    await this.#db.write(function* () {
      const app = yield* findApp(name);
      yield* run(
        "UPDATE apps SET locked = ?, parameters = ? WHERE name = ?",
        ...[(locked ?? app.locked) ? 1 : 0, JSON.stringify({ ...app.parameters, ...parameters }), name],
      );
    });
  }

  /** Says that it goes, before anything of it does: from here on nothing of it begins. */
  async beginRemoval(name: string): Promise<void> {
    await this.#db.write(function* () {
      yield* requireRemovable(name);
      yield* run("UPDATE apps SET status = 'deleting' WHERE name = ?", name);
    });
  }

  async remove(name: string): Promise<void> {
    await this.#db.write(function* () {
      yield* requireRemovable(name);
      yield* forgetMembers(name);
      yield* run("DELETE FROM apps WHERE name = ?", name);
    });
  }
}

function* requireRemovable(name: string): Steps<void> {
  if ((yield* findApp(name)).locked) throw new DavitError("conflict", `app is locked: ${name}`);
  const busy = yield* first("SELECT id FROM builds WHERE app = ? AND status IN ('created', 'running')", name);
  if (busy !== undefined)
    throw new DavitError("conflict", `Cannot delete app ${name}: a build of it is running`, {
      hint: "wait for it, or stop it",
    });
  if ((yield* first("SELECT app FROM promotions WHERE app = ?", name)) !== undefined)
    throw new DavitError("conflict", `Cannot delete app ${name}: it is currently updating`, {
      hint: `wait for it, or davit apps cancel ${name}`,
    });
}

export function* findApp(name: string): Steps<App> {
  const row = yield* first("SELECT * FROM apps WHERE name = ?", name);
  if (row === undefined)
    throw new DavitError("not-found", `app not found: ${name}`, {
      hint: "see `davit apps`, or name one with -a",
    });
  return appOf(row);
}
