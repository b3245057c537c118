import { AppFactLedger } from "./app-fact-ledger.ts";
import { AppLedger } from "./app-ledger.ts";
import { BuildLedger } from "./build-ledger.ts";
import { ContentLedger } from "./content-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { DomainLedger } from "./domain-ledger.ts";
import { DutyLedger } from "./duty-ledger.ts";
import { EventLedger } from "./event-ledger.ts";
import { GarbageLedger } from "./garbage-ledger.ts";
import { LeaderLedger } from "./leader-ledger.ts";
import { ObjectLedger } from "./object-ledger.ts";
import { PlaceLedger } from "./place-ledger.ts";
import { PromotionLedger } from "./promotion-ledger.ts";
import { type RackFact, rackFact, setRackFacts } from "./rack-facts.ts";
import { RegistryLedger } from "./registry-ledger.ts";
import { ReleaseLedger } from "./release-ledger.ts";
import type { Seal } from "./seal.ts";
import { Settings } from "./settings.ts";
import { run } from "./steps.ts";
import { TokenLedger } from "./token-ledger.ts";

export interface LedgerPlace {
  /** A file. */
  path: string;
  /** A PostgreSQL database in its place: `postgres://…`. */
  url?: string | undefined;
  now?: (() => Date) | undefined;
  /** How long a promotion outlives its last sign of life, in milliseconds. */
  promotionLease?: number | undefined;
}

/**
 * The rack's records. Every method of its parts is one whole operation: no
 * transaction leaves them, so a reader of the ledger never meets half of a change.
 */
export class Ledger {
  readonly apps: AppLedger;
  readonly appFacts: AppFactLedger;
  readonly duties: DutyLedger;
  readonly builds: BuildLedger;
  readonly releases: ReleaseLedger;
  readonly content: ContentLedger;
  readonly domains: DomainLedger;
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

  private constructor(db: LedgerDatabase, now: () => Date, promotionLease: number | undefined) {
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
    this.duties = new DutyLedger(db);
    this.releases = new ReleaseLedger(db, now);
    this.domains = new DomainLedger(db, time);
    this.promotions = new PromotionLedger(db, time, promotionLease);
    this.builds = new BuildLedger(db, now);
    this.objects = new ObjectLedger(db, time);
    this.events = new EventLedger(db, now);
    this.tokens = new TokenLedger(db, time);
  }

  static async open({ path, url, now, promotionLease }: LedgerPlace): Promise<Ledger> {
    const db = url === undefined ? await openFile(path) : await openUrl(url);
    return new Ledger(db, now ?? (() => new Date(db.now())), promotionLease);
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
    return await this.db.read(() => rackFact(key));
  }

  async setFact(key: RackFact, value: string): Promise<void> {
    await this.db.write(() => setRackFacts({ [key]: value }));
  }

  /** Forgets a fact, unless it has changed meanwhile. */
  async dropFact(key: RackFact, value: string): Promise<void> {
    await this.db.write(() => run("DELETE FROM meta WHERE key = ? AND value = ?", key, value));
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

async function openFile(path: string): Promise<LedgerDatabase> {
  const { SqliteDatabase } = await import("./sqlite-database.ts");
  return await SqliteDatabase.open(path);
}

async function openUrl(url: string): Promise<LedgerDatabase> {
  const { PostgresDatabase } = await import("./postgres-database.ts");
  return await PostgresDatabase.open(url);
}
