import { reasonOf } from "../errors.ts";
import type { Ledger } from "./ledger.ts";

/**
 * Does work that follows a commit. The commit stands whatever becomes of the work: a failure is
 * a warning to the user and in the rack's events, never an error.
 */
export class AfterCommit {
  readonly #ledger: Ledger;
  readonly #onWarning: (text: string) => void;
  /** The last warning about each kind of work: the same one is not repeated. */
  readonly #told = new Map<string, string>();

  constructor(ledger: Ledger, onWarning: (text: string) => void = () => undefined) {
    this.#ledger = ledger;
    this.#onWarning = onWarning;
  }

  /** Does the work. Returns the warning, `what: why` in one line, where it failed; `what` says what is not done then. */
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

  /** Warns of `text`, unless it was the last warning about this kind of work. */
  async warn(what: string, text: string): Promise<void> {
    if (this.#told.get(what) === text) return;
    this.#told.set(what, text);
    this.#onWarning(text);
    const event = { actor: "davit", action: "rack:upkeep", status: "error", error: text, data: {} };
    await this.#ledger.events.add(event).catch(() => undefined);
  }
}
