import { reasonOf } from "../errors.ts";
import type { Ledger } from "./ledger.ts";

/**
 * Does what follows a commit. What is done stays done: where the work fails, that is a
 * warning, for whoever runs the command and in the rack's events, and never an error.
 */
export class AfterCommit {
  readonly #ledger: Ledger;
  readonly #onWarning: (text: string) => void;
  /** The last warning about each kind of work: what goes on failing is told once. */
  readonly #told = new Map<string, string>();

  constructor(ledger: Ledger, onWarning: (text: string) => void = () => undefined) {
    this.#ledger = ledger;
    this.#onWarning = onWarning;
  }

  /** Returns the warning where the work failed: `what: why`, in one line. */
  async attempt(what: string, work: () => Promise<unknown>): Promise<string | undefined> {
    try {
      await work();
      this.#told.delete(what);
      return undefined;
    } catch (error) {
      const text = `${what}: ${reasonOf(error)
        .split("\n")
        .map((line) => line.trim())
        .filter(Boolean)
        .join(" ")}`;
      await this.warn(what, text);
      return text;
    }
  }

  /** `what` is the kind of work. */
  async warn(what: string, text: string): Promise<void> {
    if (this.#told.get(what) === text) return;
    this.#told.set(what, text);
    this.#onWarning(text);
    const event = { actor: "davit", action: "rack:upkeep", status: "error", error: text, data: {} };
    await this.#ledger.events.add(event).catch(() => undefined);
  }
}
