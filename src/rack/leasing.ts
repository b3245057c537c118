import { hasCode } from "../errors.ts";
import { importLease, type LeaseLedger } from "./lease-ledger.ts";

/** Between renewals of a lease, in milliseconds. */
const RENEWAL = 60 * 60 * 1000;

/** Runs work under leases: what it stores, or is told exists, is not collected before it ends. */
export class Leasing {
  readonly #leases: LeaseLedger;

  constructor(leases: LeaseLedger) {
    this.#leases = leases;
  }

  /** Does work under a lease. Also after a failure, what it leaves unreferenced is on record for the collector. */
  async run<T>(work: (lease: string) => Promise<T>): Promise<T> {
    return await this.#under(crypto.randomUUID(), work, (lease) => this.#leases.close(lease));
  }

  /** For an import: what came before a cut stays for a day, so that the next try finds it. */
  async runImport<T>(app: string, work: (lease: string) => Promise<T>): Promise<T> {
    const before = await this.#leases.cut(app);
    const name = `${importLease(app)}${crypto.randomUUID()}`;
    const result = await this.#under(name, work, (lease, error) =>
      isCut(error) ? this.#leases.keep(lease) : this.#leases.close(lease, { failed: true }),
    );
    for (const lease of before) await this.#end(lease, { failed: true });
    return result;
  }

  async #under<T>(
    lease: string,
    work: (lease: string) => Promise<T>,
    onFailure: (lease: string, error: unknown) => Promise<unknown>,
  ): Promise<T> {
    await this.#leases.open(lease);
    const renewal = setInterval(() => void this.#leases.renew(lease).catch(() => undefined), RENEWAL);
    renewal.unref();
    try {
      const result = await work(lease);
      await this.#end(lease, {});
      return result;
    } catch (error) {
      // What went wrong first is what the user must hear of, even if the disk is too full to tidy up.
      await onFailure(lease, error).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  /** Ends a lease. A failure is ignored, for the work is done: others end the lease when this process is gone. */
  async #end(lease: string, how: { failed?: boolean }): Promise<void> {
    await this.#leases.close(lease, how).catch(() => undefined);
  }
}

/** Whether what was stored before an error is good, and worth keeping. */
function isCut(error: unknown): boolean {
  return hasCode(error, "cut-archive", "interrupted", "unavailable");
}
