import { check, type Static, Type } from "../schema.ts";
import { findApp } from "./app-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** Names of facts about an app that are not in its row. */
export type AppFact =
  | "unpromoted" // why its last promotion failed
  | "unrouted" // what the router does not do for it, and why
  | `scale ${string}` // what was set of a service, as JSON
  | `cache ${string}`; // when the layer cache of this tag was used last

/** New values of facts. */
export type FactChange = Partial<Record<AppFact, string>>;

/** Whether a name is an `AppFact`. */
export function isAppFact(name: string): name is AppFact {
  return name === "unpromoted" || name === "unrouted" || /^(scale|cache) /.test(name);
}

const FactRow = Type.Object({ app: Type.String(), name: Type.String(), value: Type.String() });
export type AppFactRow = Static<typeof FactRow>;

/** Facts about apps; they are deleted with their app. */
export class AppFactLedger {
  readonly #db: LedgerDatabase;

  constructor(db: LedgerDatabase) {
    this.#db = db;
  }

  async known(app: string, name: AppFact): Promise<string | undefined> {
    return await this.#db.read(() => appFact(app, name));
  }

  async set(app: string, name: AppFact, value: string): Promise<void> {
    await this.#db.write(() => setAppFact(app, name, value));
  }

  /** Sets a fact, or drops it where the value is "". Does nothing where the fact has that value already, or the app is gone. */
  async put(app: string, name: AppFact, value: string): Promise<void> {
    if (((await this.known(app, name)) ?? "") === value) return;
    await this.#db.write(function* () {
      if ((yield* first("SELECT name FROM apps WHERE name = ?", app)) === undefined) return;
      yield* value === "" ? dropAppFact(app, name) : setAppFact(app, name, value);
    });
  }

  /** The facts of all apps whose names begin with a prefix. */
  async beginning(prefix: string): Promise<AppFactRow[]> {
    const rows = await this.#db.read(() =>
      all("SELECT * FROM app_facts WHERE substr(name, 1, length(?1)) = ?1 ORDER BY app, name", prefix),
    );
    return rows.map((row) => check(FactRow, row, "the ledger's facts"));
  }

  /** Forgets a fact, unless it has changed meanwhile. */
  async drop({ app, name, value }: AppFactRow): Promise<boolean> {
    const dropped = await this.#db.write(() =>
      run("DELETE FROM app_facts WHERE app = ? AND name = ? AND value = ?", app, name, value),
    );
    return dropped > 0;
  }
}

export function* appFact(app: string, name: AppFact): Steps<string | undefined> {
  const row = yield* first("SELECT * FROM app_facts WHERE app = ? AND name = ?", app, name);
  return row === undefined ? undefined : check(FactRow, row, "the ledger's facts").value;
}

export function* setAppFact(app: string, name: AppFact, value: string): Steps<void> {
  yield* findApp(app);
  yield* run(
    `INSERT INTO app_facts (app, name, value) VALUES (?, ?, ?)
     ON CONFLICT (app, name) DO UPDATE SET value = excluded.value`,
    ...[app, name, value],
  );
}

export function* dropAppFact(app: string, name: AppFact): Steps<void> {
  yield* run("DELETE FROM app_facts WHERE app = ? AND name = ?", app, name);
}
