import type { BlobPool } from "../oci/blob-pool.ts";
import { takeTurn } from "./collector-turn.ts";
import type { Ledger } from "./ledger.ts";

/** Removes blobs that nothing reaches, one collector at a time in a rack; what one left undone, the next finishes. */
export class Collector {
  readonly pool: BlobPool;
  readonly ledger: Ledger;
  readonly #lock: string;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** `lock` is the file whose lock collectors of one machine take turns under. */
  constructor(pool: BlobPool, ledger: Ledger, lock: string) {
    this.pool = pool;
    this.ledger = ledger;
    this.#lock = lock;
  }

  /** Collects once, beginning after the call: those who ask while one is at work share the next. */
  run(): Promise<void> {
    this.#next ??= this.#running.then(() => {
      this.#next = undefined;
      const done = this.#collect();
      this.#running = done.catch(() => undefined);
      return done;
    });
    return this.#next;
  }

  async #collect(): Promise<void> {
    await using turn = await takeTurn(this.ledger, this.#lock);
    const garbage = await this.ledger.garbage.mark(turn.fence);
    for (const digest of garbage) {
      await turn.hold();
      await this.pool.remove(digest);
    }
    await this.ledger.garbage.forget(garbage, turn.fence);
  }

  /** Ends what processes that are gone held, then collects if there was anything. */
  async recover(): Promise<void> {
    const { leases } = this.ledger.content;
    const abandoned = await leases.abandoned();
    for (const lease of abandoned) await leases.close(lease);
    if (abandoned.length > 0) await this.run();
  }
}
