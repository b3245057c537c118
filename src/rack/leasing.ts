import { hasCode } from "../errors.ts";
import type { Collector } from "./collector.ts";
import { importLease, type LeaseLedger } from "./lease-ledger.ts";

/** Between renewals of a lease, in milliseconds. */
const RENEWAL = 60 * 60 * 1000;

/** Runs work under leases: what it stores, or is told exists, is not collected before it ends. */
export class Leasing {
  readonly #leases: LeaseLedger;
  readonly #collector: Collector;

  constructor(collector: Collector) {
    this.#leases = collector.ledger.content.leases;
    this.#collector = collector;
  }

  /** Whatever comes of it, what is left unreferenced is swept afterwards. */
  async run<T>(work: (lease: string) => Promise<T>): Promise<T> {
    return await this.#under(crypto.randomUUID(), work, (lease) => this.#end(lease));
  }

  /** For an import: what came before a cut stays for a day, so that the next try finds it. */
  async runImport<T>(app: string, work: (lease: string) => Promise<T>): Promise<T> {
    const before = await this.#leases.cut(app);
    const name = `${importLease(app)}${crypto.randomUUID()}`;
    const result = await this.#under(name, work, (lease, error) =>
      isCut(error) ? this.#leases.keep(lease) : this.#end(lease),
    );
    for (const lease of before) await this.#end(lease);
    if (before.length > 0) await this.#collector.run();
    return result;
  }

  async #under<T>(
    lease: string,
    work: (lease: string) => Promise<T>,
    onFailure: (lease: string, error: unknown) => Promise<void>,
  ): Promise<T> {
    await this.#leases.open(lease);
    const renewal = setInterval(() => void this.#leases.renew(lease).catch(() => undefined), RENEWAL);
    renewal.unref();
    try {
      const result = await work(lease);
      await this.#end(lease);
      return result;
    } catch (error) {
      // What went wrong first is what the user must hear of, even if the disk is too full to tidy up.
      await onFailure(lease, error).catch(() => undefined);
      throw error;
    } finally {
      clearInterval(renewal);
    }
  }

  async #end(lease: string): Promise<void> {
    if ((await this.#leases.close(lease)) > 0) await this.#collector.run();
  }
}

/** Whether what was stored before an error is good, and worth keeping. */
function isCut(error: unknown): boolean {
  return hasCode(error, "cut-archive", "interrupted", "unavailable");
}
