import { DavitError } from "../errors.ts";
import type { LedgerDatabase } from "./database.ts";
import type { App } from "./rack.ts";
import { appOf } from "./rows.ts";

/** The rack's apps. */
export class AppLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => Date;

  constructor(db: LedgerDatabase, now: () => Date) {
    this.#db = db;
    this.#now = now;
  }

  /** By name. */
  list(): App[] {
    return this.#db.all("SELECT * FROM apps ORDER BY name").map(appOf);
  }

  find(name: string): App {
    const row = this.#db.get("SELECT * FROM apps WHERE name = ?", name);
    if (row === undefined)
      throw new DavitError("not-found", `app not found: ${name}`, {
        hint: "see `davit apps`, or name one with -a",
      });
    return appOf(row);
  }

  async create(name: string, generation = "3"): Promise<void> {
    await this.#db.write(() => {
      const created = this.#db.run(
        "INSERT OR IGNORE INTO apps (name, generation, created) VALUES (?, ?, ?)",
        ...[name, generation, this.#now().toISOString()],
      );
      if (created === 0) throw new DavitError("exists", `app already exists: ${name}`);
    });
  }

  async update(
    name: string,
    { locked, parameters }: { locked?: boolean | undefined; parameters?: Record<string, string> | undefined },
  ): Promise<void> {
    await this.#db.write(() => {
      const app = this.find(name);
      this.#db.run(
        "UPDATE apps SET locked = ?, parameters = ? WHERE name = ?",
        ...[(locked ?? app.locked) ? 1 : 0, JSON.stringify({ ...app.parameters, ...parameters }), name],
      );
    });
  }

  async remove(name: string): Promise<void> {
    await this.#db.write(() => {
      if (this.find(name).locked) throw new DavitError("conflict", `app is locked: ${name}`);
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
}
