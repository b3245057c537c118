import { check, Type } from "../schema.ts";
import { AppFactLedger } from "./app-fact-ledger.ts";
import { AppLedger } from "./app-ledger.ts";
import { BuildLedger } from "./build-ledger.ts";
import { ContentLedger } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { EventLedger } from "./event-ledger.ts";
import { GarbageLedger } from "./garbage-ledger.ts";
import { LeaderLedger } from "./leader-ledger.ts";
import { ObjectLedger } from "./object-ledger.ts";
import { PlaceLedger } from "./place-ledger.ts";
import { PromotionLedger } from "./promotion-ledger.ts";
import { RegistryLedger } from "./registry-ledger.ts";
import { ReleaseLedger } from "./release-ledger.ts";
import type { Seal } from "./seal.ts";
import { Settings } from "./settings.ts";
import { first, run } from "./steps.ts";
import { TokenLedger } from "./token-ledger.ts";

/** What is known of the rack as a whole. What is known of an app is an `AppFact`, and goes with it. */
export type RackFact =
  | "id" // unguessable, for the rack's whole life
  | "rack" // its name, in a database
  | "key" // the id of the key that its secrets are sealed with
  | "moving" // "yes" while content has yet to move
  | "published" // the digest of the index.json that was written last
  | "password-shown" // who has shown the shared password
  | "older-tokens"; // "revoked" where tokens without an id are refused

export interface LedgerPlace {
  /** A file. */
  path: string;
  /** A PostgreSQL database in its place: `postgres://…`. */
  url?: string | undefined;
  now?: (() => Date) | undefined;
}

/**
 * The rack's records. Every method of its parts is one whole operation: no
 * transaction leaves them, so a reader of the ledger never meets half of a change.
 */
export class Ledger {
  readonly apps: AppLedger;
  readonly appFacts: AppFactLedger;
  readonly builds: BuildLedger;
  readonly releases: ReleaseLedger;
  readonly content: ContentLedger;
  readonly promotions: PromotionLedger;
  readonly garbage: GarbageLedger;
  readonly places: PlaceLedger;
  readonly leaders: LeaderLedger;
  readonly registry: RegistryLedger;
  readonly objects: ObjectLedger;
  readonly events: EventLedger;
  readonly tokens: TokenLedger;
  /** The clock of all who share it. */
  readonly now: () => Date;
  readonly db: LedgerDatabase;

  private constructor(db: LedgerDatabase, now: () => Date) {
    const time = () => now().getTime();
    this.db = db;
    this.now = now;
    this.content = new ContentLedger(db, time);
    this.garbage = new GarbageLedger(db);
    this.places = new PlaceLedger(db);
    this.leaders = new LeaderLedger(db, time);
    this.registry = new RegistryLedger(db, time);
    this.apps = new AppLedger(db, now);
    this.appFacts = new AppFactLedger(db);
    this.releases = new ReleaseLedger(db, now);
    this.promotions = new PromotionLedger(db, time);
    this.builds = new BuildLedger(db, now);
    this.objects = new ObjectLedger(db, time);
    this.events = new EventLedger(db, now);
    this.tokens = new TokenLedger(db, time);
  }

  static async open({ path, url, now }: LedgerPlace): Promise<Ledger> {
    const db = url === undefined ? await openFile(path) : await openUrl(url);
    return new Ledger(db, now ?? (() => new Date(db.now())));
  }

  async close(): Promise<void> {
    await this.db.close();
  }

  /** What is sealed needs the key. */
  settings(seal: Seal): Settings {
    return new Settings(this.db, seal);
  }

  /** A fact about the rack, if it is known. */
  async known(key: RackFact): Promise<string | undefined> {
    const row = await this.db.read(() => first("SELECT value FROM meta WHERE key = ?", key));
    return row === undefined ? undefined : check(Fact, row, "the ledger's facts").value;
  }

  async setFact(key: RackFact, value: string): Promise<void> {
    await this.db.write(() =>
      run(
        "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        key,
        value,
      ),
    );
  }

  /** A fact about the rack, made by `initial` the first time it is asked for. */
  async fact(key: RackFact, initial: () => string): Promise<string> {
    const known = await this.known(key);
    if (known !== undefined) return known;
    await this.db.write(() =>
      run("INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT DO NOTHING", key, initial()),
    );
    return (await this.known(key)) ?? "";
  }
}

const Fact = Type.Object({ value: Type.String() });

async function openFile(path: string): Promise<LedgerDatabase> {
  const { SqliteDatabase } = await import("./sqlite-database.ts");
  return await SqliteDatabase.open(path);
}

async function openUrl(url: string): Promise<LedgerDatabase> {
  const { PostgresDatabase } = await import("./postgres-database.ts");
  return await PostgresDatabase.open(url);
}
