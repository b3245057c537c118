import { check, Type } from "../schema.ts";
import { AppLedger } from "./app-ledger.ts";
import { BuildLedger } from "./build-ledger.ts";
import { ContentLedger } from "./content-ledger.ts";
import { LedgerDatabase } from "./database.ts";
import { EventLedger } from "./event-ledger.ts";
import { ObjectLedger } from "./object-ledger.ts";
import { RegistryLedger } from "./registry-ledger.ts";
import { ReleaseLedger } from "./release-ledger.ts";
import type { Seal } from "./seal.ts";
import { Settings } from "./settings.ts";

/**
 * The rack's records. Every method of its parts is one whole operation: no
 * transaction leaves them, so a reader of the ledger never meets half of a change.
 */
export class Ledger {
  readonly apps: AppLedger;
  readonly builds: BuildLedger;
  readonly releases: ReleaseLedger;
  readonly content: ContentLedger;
  readonly registry: RegistryLedger;
  readonly objects: ObjectLedger;
  readonly events: EventLedger;
  readonly #db: LedgerDatabase;

  private constructor(db: LedgerDatabase, now: () => Date) {
    const time = () => now().getTime();
    this.#db = db;
    this.content = new ContentLedger(db, time);
    this.registry = new RegistryLedger(db, time);
    this.apps = new AppLedger(db, now);
    this.releases = new ReleaseLedger(db, this.apps, now);
    this.builds = new BuildLedger(db, this.apps, this.releases, this.content, now);
    this.objects = new ObjectLedger(db, this.content, time);
    this.events = new EventLedger(db, now);
  }

  static async open(path: string, now: () => Date): Promise<Ledger> {
    return new Ledger(await LedgerDatabase.open(path), now);
  }

  close(): void {
    this.#db.close();
  }

  /** A copy of the whole ledger as it is at this moment. */
  copyTo(path: string): void {
    this.#db.copyTo(path);
  }

  /** What is sealed needs the key. */
  settings(seal: Seal): Settings {
    return new Settings(this.#db, seal);
  }

  /** A fact about the rack, if it is known. */
  known(key: string): string | undefined {
    const row = this.#db.get("SELECT value FROM meta WHERE key = ?", key);
    return row === undefined ? undefined : check(Fact, row, "the ledger's facts").value;
  }

  async setFact(key: string, value: string): Promise<void> {
    await this.#db.write(() =>
      this.#db.run("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", key, value),
    );
  }

  /** A fact about the rack, made by `initial` the first time it is asked for. */
  async fact(key: string, initial: () => string): Promise<string> {
    return (
      this.known(key) ??
      (await this.#db.write(() => {
        this.#db.run("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)", key, initial());
        return this.known(key) ?? "";
      }))
    );
  }
}

const Fact = Type.Object({ value: Type.String() });
