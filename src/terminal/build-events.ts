/** What a line of a build's log says. `step` is a number, after the service's name where there are several. */
export type BuildEvent =
  | { event: "log"; text: string }
  | { event: "begin"; step: string; name: string }
  /** `seconds` since the step began. */
  | { event: "output"; step: string; seconds: number; text: string }
  | { event: "end"; step: string; status: "done" | "cached" | "error"; seconds: number; error?: string };

/** `#5 [2/3] RUN make`, `web: #5 0.412 output`, `#5 DONE 1.3s`. */
const STEP = /^((?:[\w.-]+: )?#\d+) (.*)$/s;

/** Reads a log in BuildKit's plain form, as it comes and however it is cut. */
export class BuildEvents {
  readonly #begun = new Map<string, number>();
  #rest = "";

  read(text: string): BuildEvent[] {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    return lines.map((line) => this.#event(line));
  }

  /** What was left without a line end. */
  end(): BuildEvent[] {
    const rest = this.#rest;
    this.#rest = "";
    return rest === "" ? [] : [this.#event(rest)];
  }

  #event(line: string): BuildEvent {
    const [, step = "", text = ""] = STEP.exec(line) ?? [];
    if (step === "") return { event: "log", text: line };
    if (!this.#begun.has(step)) {
      this.#begun.set(step, 0);
      return { event: "begin", step, name: text };
    }
    const [, time, output = ""] = /^(\d+\.\d{3}) (.*)$/s.exec(text) ?? [];
    if (time !== undefined) {
      this.#begun.set(step, Number(time));
      return { event: "output", step, seconds: Number(time), text: output };
    }
    const seconds = this.#begun.get(step) ?? 0;
    if (text === "CACHED") return { event: "end", step, status: "cached", seconds: 0 };
    const [, took] = /^DONE (\d+\.\d)s$/.exec(text) ?? [];
    if (took !== undefined) return { event: "end", step, status: "done", seconds: Number(took) };
    const [, error] = /^ERROR: (.*)$/s.exec(text) ?? [];
    if (error !== undefined) return { event: "end", step, status: "error", seconds, error };
    return { event: "output", step, seconds, text };
  }
}
