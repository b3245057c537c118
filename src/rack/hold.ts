import { DavitError } from "../errors.ts";
import { type Promotion, type PromotionLedger, takenOver } from "./promotion-ledger.ts";

/** Time between signs of life of a promotion, in milliseconds; a cancel waits this long at most. */
const BEAT = 2000;

/** A promotion or deletion that this process carries out. It renews the lease until it is disposed of. */
export class Hold implements Disposable {
  readonly promotion: Promotion;
  readonly #promotions: PromotionLedger;
  readonly #cancelled = new AbortController();
  readonly #lost = new AbortController();
  readonly #beat: ReturnType<typeof setInterval>;
  #renewed = Date.now();

  constructor(promotions: PromotionLedger, promotion: Promotion) {
    this.#promotions = promotions;
    this.promotion = promotion;
    const every = Math.min(BEAT, promotions.lease / 4);
    this.#beat = setInterval(() => void this.#renew().catch(() => undefined), every);
  }

  /** Aborts when somebody asks to go back, or when another process has taken over. */
  get cancelled(): AbortSignal {
    return AbortSignal.any([this.#cancelled.signal, this.#lost.signal]);
  }

  /** Aborts when another process has taken over: from then on this one may change nothing. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /**
   * To be called before each change of what runs. After a long pause of this process it asks
   * the ledger. Throws where another process has taken over, or the ledger does not answer.
   */
  readonly check = async (): Promise<void> => {
    if (Date.now() - this.#renewed > this.#promotions.lease / 2) await this.#renew();
    this.#lost.signal.throwIfAborted();
  };

  async #renew(): Promise<void> {
    const at = Date.now();
    try {
      const state = await this.#promotions.renew(this.promotion);
      if (state === "lost") this.#lose();
      else this.#renewed = at;
      if (state === "cancelled") this.#cancelled.abort(new DavitError("conflict", "it was cancelled"));
    } catch (error) {
      if (Date.now() - this.#renewed > this.#promotions.lease) this.#lose();
      throw error;
    }
  }

  #lose(): void {
    this.#lost.abort(takenOver(this.promotion.app));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#beat);
  }
}
