import type { Garbage } from "./garbage-ledger.ts";
import type { Ledger } from "./ledger.ts";
import type { Places } from "./places.ts";
import { takeTurn } from "./turn.ts";

/** Removes blobs that nothing reaches, one collector at a time in a rack; what one left undone, the next finishes. */
export class Collector {
  readonly places: Places;
  readonly ledger: Ledger;
  readonly #lock: string;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  /** `lock` is the file whose lock collectors of one machine take turns under. */
  constructor(places: Places, ledger: Ledger, lock: string) {
    this.places = places;
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
    const duty = await this.ledger.duties.find("collect");
    await using turn = await takeTurn(this.ledger, "collector", this.#lock);
    const garbage = await this.ledger.garbage.mark(turn.fence);
    const gone: Garbage[] = [];
    for (const piece of garbage) {
      await turn.hold();
      if (await this.#remove(piece)) gone.push(piece);
    }
    await this.ledger.garbage.forget(gone, turn.fence);
    if (duty) await this.ledger.duties.done(duty);
  }

  /** What a registry does not let go of now stays marked, and the next collector tries again. */
  async #remove({ store, app, digest }: Garbage): Promise<boolean> {
    const place = await this.places.named(store);
    try {
      await place.remove(app, digest);
      return true;
    } catch (error) {
      if (place === this.places.own) throw error;
      return false;
    }
  }

  /** Ends what processes that are gone held; what they left is collected next. */
  async recover(): Promise<void> {
    const { leases } = this.ledger.content;
    for (const lease of await leases.abandoned()) await leases.close(lease, { failed: true });
  }
}
