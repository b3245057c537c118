import { DavitError } from "../errors.ts";
import { isAbandoned, ownerText, thisProcess } from "../owner.ts";
import { check, type Static, Type } from "../schema.ts";
import { dropAppFact } from "./app-fact-ledger.ts";
import { findApp } from "./app-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { requirePromotable } from "./release-ledger.ts";
import { all, first, run } from "./steps.ts";

/** How long a promotion outlives its last sign of life, in milliseconds. */
const LEASE = 60_000;

const PromotionRow = Type.Object({
  app: Type.String(),
  /** The release that ran before, or "". */
  before: Type.String(),
  release: Type.String(),
  /** `applying`; `cancelled` by somebody; or `reverting` to the one before. */
  phase: Type.String(),
  owner: Type.String(),
  until: Type.Integer(),
});
export type Promotion = Static<typeof PromotionRow>;

/**
 * Promotions on their way: what runs is in between two releases while there is a row.
 * Whoever finds one that its process has left brings the app back to the one before.
 */
export class PromotionLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** One at a time for each app. */
  async begin(app: string, release: string): Promise<Promotion> {
    const row = {
      app,
      release,
      phase: "applying",
      owner: ownerText(thisProcess()),
      until: this.#now() + LEASE,
    };
    return await this.#db.write(function* () {
      const { release: before, status } = yield* findApp(app);
      if (status === "deleting") throw new DavitError("conflict", `app ${app} is being deleted`);
      yield* requirePromotable(app, release, before);
      if ((yield* first("SELECT app FROM promotions WHERE app = ?", app)) !== undefined)
        throw new DavitError("denied", "app is currently updating", { hint: "wait until it is running" });
      yield* run(
        "INSERT INTO promotions (app, before, release, phase, owner, until) VALUES (?, ?, ?, ?, ?, ?)",
        ...[app, before, release, row.phase, row.owner, row.until],
      );
      yield* run("UPDATE apps SET status = 'updating' WHERE name = ?", app);
      yield* dropAppFact(app, "unpromoted");
      return { ...row, before };
    });
  }

  /** Says that it is alive, and hears whether it is to go on. */
  async renew({ app, owner }: Promotion): Promise<"on" | "cancelled"> {
    const until = this.#now() + LEASE;
    const row = await this.#db.write(function* () {
      yield* run("UPDATE promotions SET until = ? WHERE app = ? AND owner = ?", until, app, owner);
      return yield* first("SELECT * FROM promotions WHERE app = ? AND owner = ?", app, owner);
    });
    return row !== undefined && promotionOf(row).phase === "cancelled" ? "cancelled" : "on";
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

  /** The app is updating until it runs one release again, even if that is the old one. */
  async revert({ app, owner }: Promotion): Promise<void> {
    await this.#db.write(() =>
      run("UPDATE promotions SET phase = 'reverting' WHERE app = ? AND owner = ?", app, owner),
    );
  }

  /** Gives it up as it is, for another to take over. */
  async leave({ app, owner }: Promotion): Promise<void> {
    await this.#db.write(() =>
      run("UPDATE promotions SET owner = '', until = 0 WHERE app = ? AND owner = ?", app, owner),
    );
  }

  /** The app runs one release, whole: that is the active one. Throws where another has taken over. */
  async end({ app, owner }: Promotion, release: string): Promise<void> {
    await this.#db.write(function* () {
      const ours = yield* run("DELETE FROM promotions WHERE app = ? AND owner = ?", app, owner);
      if (ours === 0)
        throw new DavitError("outdated", `another davit has taken over the promotion of ${app}`);
      yield* run("UPDATE apps SET release = ?, status = 'running' WHERE name = ?", release, app);
    });
  }

  /** Whether any is on its way, or was left there. */
  async any(): Promise<boolean> {
    return (await this.#db.read(() => first("SELECT app FROM promotions LIMIT 1"))) !== undefined;
  }

  /** Takes over what a process has left, so that one alone does. */
  async takeAbandoned(): Promise<Promotion[]> {
    const rows = await this.#db.read(() => all("SELECT * FROM promotions ORDER BY app"));
    const taken: Promotion[] = [];
    for (const row of rows.map(promotionOf)) {
      if (!isAbandoned(row.owner, row.until, this.#now(), this.#db.shared)) continue;
      const mine = {
        ...row,
        owner: ownerText(thisProcess()),
        until: this.#now() + LEASE,
        phase: "reverting",
      };
      const won = await this.#db.write(() =>
        run(
          "UPDATE promotions SET owner = ?, until = ?, phase = ? WHERE app = ? AND owner = ?",
          ...[mine.owner, mine.until, mine.phase, row.app, row.owner],
        ),
      );
      if (won > 0) taken.push(mine);
    }
    return taken;
  }
}

function promotionOf(row: unknown): Promotion {
  return check(PromotionRow, row, "the ledger's promotions");
}
