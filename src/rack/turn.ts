import { DavitError } from "../errors.ts";
import { FileLock } from "../lock.ts";
import { ownerText, thisProcess } from "../owner.ts";
import type { Fence } from "./leader-ledger.ts";
import type { Ledger } from "./ledger.ts";

/** What one process of a rack does at a time, in words. */
const WORK = {
  collector: "collect garbage",
  routes: "tell the router its routes",
  directory: "write index.json",
} as const;
export type TurnName = keyof typeof WORK;

/** How long a lead lasts unless it is renewed, and when that is due, in milliseconds. */
const LEAD = 60_000;
const RENEW = 15_000;
/** How long a turn is waited for, and between looks at most, in milliseconds. */
const PATIENCE = 90_000;
const LOOK = 200;

/** The right to do something that one process at a time does. */
export interface Turn extends AsyncDisposable {
  /** Part of every write; undefined where a lock of the operating system keeps others out. */
  fence: Fence | undefined;
  /** Before each change: throws when the turn may have gone to another. */
  hold(): Promise<void>;
}

/** Waits for its turn: on one machine under a file's lock, which dies with its process, else as the leader of all. */
export async function takeTurn(ledger: Ledger, name: TurnName, lock: string): Promise<Turn> {
  return ledger.db.shared ? await LeaderTurn.take(ledger, name) : await fileTurn(name, lock);
}

async function fileTurn(name: TurnName, path: string): Promise<Turn> {
  const lock = await FileLock.take(path, WORK[name]);
  return {
    fence: undefined,
    hold: async () => undefined,
    [Symbol.asyncDispose]: async () => lock[Symbol.dispose](),
  };
}

class LeaderTurn implements Turn {
  readonly fence: Fence;
  readonly #ledger: Ledger;
  #renewed: number;

  private constructor(ledger: Ledger, fence: Fence, at: number) {
    this.#ledger = ledger;
    this.fence = fence;
    this.#renewed = at;
  }

  static async take(ledger: Ledger, name: TurnName): Promise<LeaderTurn> {
    const holder = `${ownerText(thisProcess())}.${crypto.randomUUID()}`;
    const end = performance.now() + PATIENCE;
    for (let wait = 5; ; wait = Math.min(wait * 2, LOOK)) {
      const at = performance.now();
      const fence = await ledger.leaders.take(name, holder, LEAD);
      if (fence) return new LeaderTurn(ledger, fence, at);
      if (at > end)
        throw new DavitError(
          "busy",
          `Cannot ${WORK[name]}: another process has done so for ${PATIENCE / 1000} s`,
        );
      await Bun.sleep(wait * (0.5 + Math.random() / 2));
    }
  }

  /** The lead outlives its last renewal by far: a process must stand still that long between this and what it does. */
  async hold(): Promise<void> {
    const now = performance.now();
    if (now - this.#renewed < RENEW) return;
    await this.#ledger.leaders.renew(this.fence, LEAD);
    this.#renewed = now;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ledger.leaders.release(this.fence).catch(() => undefined);
  }
}
