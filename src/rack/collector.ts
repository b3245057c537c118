import { FileLock } from "../lock.ts";
import type { BlobPool } from "../oci/blob-pool.ts";
import type { ContentLedger } from "./content-ledger.ts";

/**
 * Removes blobs that nothing reaches. One at a time in a rack, under a lock that
 * dies with its process; what a dead collector left undone, the next one finishes.
 */
export class Collector {
  readonly pool: BlobPool;
  readonly ledger: ContentLedger;
  readonly #lock: string;

  /** `lock` is the file whose lock collectors take turns under. */
  constructor(pool: BlobPool, ledger: ContentLedger, lock: string) {
    this.pool = pool;
    this.ledger = ledger;
    this.#lock = lock;
  }

  /** Returns how many blobs it removed. */
  async run(): Promise<number> {
    using _ = await FileLock.take(this.#lock, "collect garbage");
    const garbage = await this.ledger.markGarbage();
    for (const digest of garbage) await this.pool.remove(digest);
    await this.ledger.forget(garbage);
    return garbage.length;
  }

  /** Ends what processes that are gone held, then collects if there was anything. */
  async recover(): Promise<void> {
    const leases = this.ledger.leases.abandoned();
    for (const lease of leases) await this.ledger.leases.close(lease);
    if (leases.length > 0) await this.run();
  }
}
