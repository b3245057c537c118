import { DavitError } from "../errors.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { check, checkJson, type Static, Type } from "../schema.ts";
import { appFact, dropAppFact, type FactChange, isAppFact, setAppFact } from "./app-fact-ledger.ts";
import { findApp, findLiveApp, removeApp, requireRemovable } from "./app-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { owe } from "./duty-ledger.ts";
import { requirePromotable } from "./release-ledger.ts";
import { all, first, run, type Steps } from "./steps.ts";

/** How long a promotion outlives its last sign of life by default, in milliseconds. */
const LEASE = 60_000;

const PromotionRow = Type.Object({
  app: Type.String(),
  /** The release that ran before, or "". */
  before: Type.String(),
  /** "" for a deletion. */
  release: Type.String(),
  /** `applying`; `cancelled` by somebody; `reverting` to the one before; or `deleting` the app. */
  phase: Type.String(),
  owner: Type.String(),
  until: Type.Integer(),
  /** The values of the app's facts from before, by name, as JSON: they are set back on the way back. */
  undo: Type.String(),
});
export type Promotion = Static<typeof PromotionRow>;

const Undo = Type.Record(Type.String(), Type.String());

/**
 * Promotions and deletions of apps that are on their way. While an app has a row here, what runs of
 * it is in between. Where the row's process is gone, the next process that changes the app takes over.
 */
export class PromotionLedger {
  /** How long a row outlives its owner's last sign of life, in milliseconds. */
  readonly lease: number;
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number, lease = LEASE) {
    this.#db = db;
    this.#now = now;
    this.lease = lease;
  }

  /** Begins a promotion; each app has one at a time. `facts` are set with it, and set back where it goes back. */
  async begin(app: string, release: string, facts: FactChange = {}): Promise<Promotion> {
    const mine = this.#mine();
    return await this.#db.write(function* () {
      const { release: before } = yield* findLiveApp(app);
      yield* requirePromotable(app, release, before);
      if ((yield* findRow(app)) !== undefined)
        throw new DavitError("denied", "app is currently updating", { hint: "wait until it is running" });
      const undo = JSON.stringify(yield* changeFacts(app, facts));
      const row = { app, before, release, phase: "applying", ...mine, undo };
      yield* insert(row);
      yield* run("UPDATE apps SET status = 'updating' WHERE name = ?", app);
      yield* dropAppFact(app, "unpromoted");
      return row;
    });
  }

  /** Marks the app as deleting: nothing of it begins from now on, and only `remove` ends it. */
  async beginRemoval(app: string): Promise<Promotion> {
    const [mine, now] = [this.#mine(), this.#now()];
    const isLeft = (row: Promotion) => isAbandoned(row.owner, row.until, now, this.#db.shared);
    return await this.#db.write(function* () {
      const known = yield* findRow(app);
      // An app that is deleted need not be brought back to any release first.
      if (known && isLeft(known)) yield* run("DELETE FROM promotions WHERE app = ?", app);
      yield* requireRemovable(app);
      const row = { app, before: "", release: "", phase: "deleting", ...mine, undo: "{}" };
      yield* insert(row);
      yield* run("UPDATE apps SET status = 'deleting' WHERE name = ?", app);
      return row;
    });
  }

  /** Ends a deletion: removes the app with all its records. Throws `outdated` where another process has taken over. */
  async remove({ app, owner }: Promotion): Promise<void> {
    const deleted = new Date(this.#now()).toISOString();
    await this.#db.write(function* () {
      requireOwn(yield* run("DELETE FROM promotions WHERE app = ? AND owner = ?", app, owner), app);
      yield* removeApp(app, deleted);
      yield* owe("routes");
    });
  }

  /** Prolongs the lease. Returns `cancelled` where somebody asked to go back, and `lost` where another process has taken over. */
  async renew({ app, owner }: Promotion): Promise<"on" | "cancelled" | "lost"> {
    const until = this.#now() + this.lease;
    const row = await this.#db.write(function* () {
      yield* run("UPDATE promotions SET until = ? WHERE app = ? AND owner = ?", until, app, owner);
      return yield* first("SELECT * FROM promotions WHERE app = ? AND owner = ?", app, owner);
    });
    if (row === undefined) return "lost";
    return promotionOf(row).phase === "cancelled" ? "cancelled" : "on";
  }

  /** Asks whoever promotes to go back. */
  async cancel(app: string): Promise<void> {
    const asked = await this.#db.write(function* () {
      yield* findApp(app);
      return yield* run(
        "UPDATE promotions SET phase = 'cancelled' WHERE app = ? AND phase = 'applying'",
        app,
      );
    });
    if (asked === 0) throw new DavitError("denied", "app is not updating");
  }

  /**
   * Begins the way back to the release before, and records why. The app stays `updating` until it
   * runs one release again. Throws `outdated` where another process has taken over.
   */
  async revert({ app, owner }: Promotion, why: string): Promise<void> {
    await this.#db.write(function* () {
      const mine = yield* run(
        "UPDATE promotions SET phase = 'reverting' WHERE app = ? AND owner = ?",
        app,
        owner,
      );
      requireOwn(mine, app);
      yield* undoFacts(app);
      // Before the app is running again: clients that wait for that ask for the reason next.
      yield* setAppFact(app, "unpromoted", why);
    });
  }

  /** Gives the promotion up as it is, for another process to take over, and records why. */
  async leave({ app, owner }: Promotion, why: string): Promise<void> {
    await this.#db.write(function* () {
      const left = yield* run(
        "UPDATE promotions SET owner = '', until = 0 WHERE app = ? AND owner = ?",
        app,
        owner,
      );
      if (left > 0) yield* setAppFact(app, "unpromoted", why);
    });
  }

  /** The app runs one release, whole: that is the active one. Throws where another has taken over. */
  async end({ app, owner }: Promotion, release: string): Promise<void> {
    await this.#db.write(function* () {
      requireOwn(yield* run("DELETE FROM promotions WHERE app = ? AND owner = ?", app, owner), app);
      yield* run("UPDATE apps SET release = ?, status = 'running' WHERE name = ?", release, app);
      yield* owe("routes");
    });
  }

  /** Promotions and deletions, of one app or of all, whose process is gone. Changes nothing. */
  async abandoned(app?: string): Promise<Promotion[]> {
    const rows = await this.#db.read(() => all("SELECT * FROM promotions ORDER BY app"));
    return rows.map(promotionOf).filter((row) => this.#isLeft(row) && (app === undefined || row.app === app));
  }

  /** Takes over the promotion or deletion of an app whose process is gone; undefined where there is none, or another process was quicker. */
  async take(app: string): Promise<Promotion | undefined> {
    const [left] = await this.abandoned(app);
    if (!left) return undefined;
    const phase = left.phase === "deleting" ? "deleting" : "reverting";
    const mine = { ...left, ...this.#mine(), phase };
    return await this.#db.write(function* () {
      const won = yield* run(
        "UPDATE promotions SET owner = ?, until = ?, phase = ? WHERE app = ? AND owner = ?",
        ...[mine.owner, mine.until, phase, app, left.owner],
      );
      if (won === 0) return undefined;
      yield* undoFacts(app);
      return mine;
    });
  }

  #isLeft({ owner, until }: Promotion): boolean {
    return isAbandoned(owner, until, this.#now(), this.#db.shared);
  }

  /** An owner that is this promotion's alone, also among those of this process, and its lease. */
  #mine(): Pick<Promotion, "owner" | "until"> {
    return {
      owner: `${ownerText(thisProcess())}.${crypto.randomUUID()}`,
      until: this.#now() + this.lease,
    };
  }
}

function* findRow(app: string): Steps<Promotion | undefined> {
  const row = yield* first("SELECT * FROM promotions WHERE app = ?", app);
  return row === undefined ? undefined : promotionOf(row);
}

function* insert({ app, before, release, phase, owner, until, undo }: Promotion): Steps<void> {
  yield* run(
    "INSERT INTO promotions (app, before, release, phase, owner, until, undo) VALUES (?, ?, ?, ?, ?, ?, ?)",
    ...[app, before, release, phase, owner, until, undo],
  );
}

/** Sets facts. Returns their values from before; "" for those that were not there. */
function* changeFacts(app: string, facts: FactChange): Steps<Record<string, string>> {
  const before: Record<string, string> = {};
  for (const [name, value] of Object.entries(facts)) {
    if (!isAppFact(name) || value === undefined) continue;
    before[name] = (yield* appFact(app, name)) ?? "";
    yield* setAppFact(app, name, value);
  }
  return before;
}

/** Sets back the facts that a promotion has set; a second call does nothing. */
function* undoFacts(app: string): Steps<void> {
  const undo = checkJson(Undo, (yield* findRow(app))?.undo ?? "{}", "the ledger's promotions");
  for (const [name, value] of Object.entries(undo)) {
    if (!isAppFact(name)) continue;
    if (value === "") yield* dropAppFact(app, name);
    else yield* setAppFact(app, name, value);
  }
  yield* run("UPDATE promotions SET undo = '{}' WHERE app = ?", app);
}

function requireOwn(rows: number, app: string): void {
  if (rows === 0) throw takenOver(app);
}

export function takenOver(app: string): DavitError {
  return new DavitError("outdated", `another davit has taken over app ${app}`, {
    hint: `see \`davit apps info ${app}\``,
  });
}

function promotionOf(row: unknown): Promotion {
  return check(PromotionRow, row, "the ledger's promotions");
}
