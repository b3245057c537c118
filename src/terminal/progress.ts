import type { Ora } from "ora";
import type { Output } from "./output.ts";
import { jsonText, shown, visible } from "./shown.ts";
import { bytes } from "./time.ts";

export type ProgressMode = "auto" | "plain" | "json" | "none";

/** What long work tells: `done` of `total` bytes; 0 of an unknown total is waiting for somebody else. */
export interface Step {
  what: string;
  done: number;
  total?: number | undefined;
}

/** Between redraws of a bar, and between lines where there is no terminal, in milliseconds. */
const REDRAW = 100;
const LINE_EVERY = 5000;
const BAR = 24;

/** Shows how far work is, on stderr: a bar on a terminal, a line every few seconds elsewhere, or JSON. */
export class ProgressDisplay {
  readonly #output: Output;
  readonly #mode: "bar" | "plain" | "json" | "none";
  #last = performance.now();
  #started: number | undefined;
  #drawn = false;
  #waiting: string | undefined;
  #spinner: Ora | undefined;

  constructor(output: Output, mode: ProgressMode) {
    this.#output = output;
    const canDraw = output.isTerminal && (process.stderr.columns ?? 0) > 0;
    this.#mode = mode === "auto" ? (canDraw ? "bar" : "plain") : mode;
  }

  /** How it shows; others show in the same way. */
  get style(): "bar" | "plain" | "json" | "none" {
    return this.#mode;
  }

  show(step: Step): void {
    if (step.done === 0 && step.total === undefined) {
      this.#wait(step.what);
      return;
    }
    if (this.#waiting !== undefined) this.clear();
    const now = performance.now();
    this.#started ??= now;
    if (this.#mode === "none" || now - this.#last < (this.#mode === "bar" ? REDRAW : LINE_EVERY)) return;
    this.#last = now;
    const rate = step.done / Math.max(0.001, (now - this.#started) / 1000);
    if (this.#mode === "json") this.#output.line(jsonText({ ...step, rate: Math.round(rate) }));
    else if (this.#mode === "plain") this.#output.line(describe(step, rate));
    else {
      this.#output.print(
        shown`\r\x1b[K${visible(bar(step) + describe(step, rate)).slice(0, process.stderr.columns ?? 80)}`,
      );
      this.#drawn = true;
    }
  }

  /** Shows that something is going on that tells nothing of itself; ora draws only where there are columns to draw in. */
  #wait(what: string): void {
    this.#waiting = what;
    if (this.#mode === "plain") this.#sayLater(what);
    if (this.#mode !== "bar") return;
    void import("ora").then(({ default: ora }) => {
      if (this.#waiting === what)
        this.#spinner ??= ora({ text: visible(what), stream: process.stderr, discardStdin: false }).start();
    });
  }

  /** Only a wait that lasts is worth a line. */
  #sayLater(what: string): void {
    setTimeout(() => {
      if (this.#waiting === what) this.#output.line(`${what}...`);
    }, LINE_EVERY).unref();
  }

  /** Takes the bar away, so that other text can follow. */
  clear(): void {
    this.#waiting = undefined;
    this.#spinner?.stop();
    this.#spinner = undefined;
    if (this.#drawn) this.#output.print(shown`\r\x1b[K`);
    this.#drawn = false;
  }
}

function bar({ done, total }: Step): string {
  if (!total) return "";
  const filled = Math.round((Math.min(done, total) / total) * BAR);
  return `[${"=".repeat(filled)}${" ".repeat(BAR - filled)}] `;
}

function describe({ what, done, total }: Step, rate: number): string {
  const left = total && rate > 0 ? `, ${Math.ceil((total - done) / rate)}s left` : "";
  return `${what}: ${bytes(done)}${total ? ` of ${bytes(total)}` : ""}, ${bytes(rate)}/s${left}`;
}
