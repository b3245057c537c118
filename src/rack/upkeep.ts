import { join } from "node:path";
import type { AfterCommit } from "./after-commit.ts";
import type { Collector } from "./collector.ts";
import type { Duty, DutyRow } from "./duty-ledger.ts";
import type { Ledger } from "./ledger.ts";
import { takeTurn } from "./turn.ts";

/** The work of each duty; the collector does `collect`. */
export type DutyWork = Record<Exclude<Duty, "collect">, () => Promise<void>>;

/** The duties in the order in which they are done, each with the words of its warning. */
const UNDONE: readonly [Duty, string][] = [
  ["reroute", "not every app has been brought to the router's network"],
  ["routes", "the router does not know of what runs now"],
  ["directory", "the rack's index.json is not up to date"],
  ["collect", "what nobody needs any more has not been deleted"],
];

/**
 * Does what commits owe, and ends what processes that are gone have left. It runs after whatever
 * changes the rack, never where the rack is only read. A failure is a warning: the duty stays on
 * record, and the next process that changes the rack tries again.
 */
export class Upkeep {
  /** Whether a server of this process tries again what failed; then `run` leaves that to it. */
  hasServer = false;
  readonly #ledger: Ledger;
  readonly #collector: Collector;
  readonly #dir: string;
  readonly #after: AfterCommit;
  readonly #work: DutyWork;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(
    {
      ledger,
      collector,
      dir,
      after,
    }: { ledger: Ledger; collector: Collector; dir: string; after: AfterCommit },
    work: DutyWork,
  ) {
    this.#ledger = ledger;
    this.#collector = collector;
    this.#dir = dir;
    this.#after = after;
    this.#work = work;
  }

  /** Runs once, beginning after the call: callers that come while one run is at work share the next. Never throws. */
  run(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      this.#running = this.#all(!this.hasServer);
      return this.#running;
    });
    return this.#next;
  }

  /** For the server: does what has failed before, too. */
  async sweep(): Promise<void> {
    await this.#all(true);
  }

  async #all(again: boolean): Promise<void> {
    const { builds } = this.#ledger;
    await this.#after.attempt("Cannot mark builds that were stopped", () => builds.failAbandoned());
    await this.#after.attempt("Cannot end what stopped processes held", () => this.#collector.recover());
    for (const [name, undone] of UNDONE)
      await this.#after.attempt("Cannot look for what is left to do", async () => {
        const duty = await this.#ledger.duties.find(name);
        if (duty && (again || duty.tried !== duty.mark)) await this.#fulfil(duty, undone);
      });
  }

  async #fulfil(duty: DutyRow, undone: string): Promise<void> {
    const problem = await this.#after.attempt(undone, () => this.#inTurn(duty.name));
    if (problem !== undefined) await this.#ledger.duties.failed(duty, problem);
  }

  /** Does a duty while no other process does. The ledger is read meanwhile, so that no older state overwrites a newer one. */
  async #inTurn(name: Duty): Promise<void> {
    if (name === "collect") return await this.#collector.run();
    const duty = await this.#ledger.duties.find(name);
    if (!duty) return;
    if (name === "reroute") await this.#work.reroute();
    else {
      await using _ = await takeTurn(this.#ledger, name, join(this.#dir, `${name}.db`));
      await this.#work[name]();
    }
    await this.#ledger.duties.done(duty);
  }
}
