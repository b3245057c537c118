import type { Trace, Vertex, VertexLog } from "./trace.ts";

interface Step {
  number: number;
  started: number | undefined;
  ended: boolean;
  rest: string;
}

/**
 * BuildKit's progress as lines, in the form docker prints with
 * `--progress=plain`: `#5 [2/3] RUN make`, `#5 0.412 output`, `#5 DONE 1.3s`.
 */
export class PlainProgress {
  readonly #steps = new Map<string, Step>();
  readonly #write: (line: string) => void;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  show(trace: Trace): void {
    for (const vertex of trace.vertexes)
      if (vertex.started !== undefined || vertex.cached) this.#begin(vertex);
    for (const log of trace.logs) this.#log(log);
    for (const vertex of trace.vertexes) if (vertex.completed !== undefined) this.#end(vertex);
  }

  #begin(vertex: Vertex): void {
    if (this.#steps.has(vertex.digest)) return;
    const step = { number: this.#steps.size + 1, started: vertex.started, ended: false, rest: "" };
    this.#steps.set(vertex.digest, step);
    this.#write(`#${step.number} ${vertex.name}`);
  }

  /** A message may end in the middle of a line; the rest comes with the next one. */
  #log(log: VertexLog): void {
    const step = this.#steps.get(log.vertex);
    if (!step) return;
    const parts = (step.rest + log.text).split("\n");
    step.rest = parts.pop() ?? "";
    for (const part of parts) this.#output(step, log.time, part);
  }

  #output(step: Step, time: number, text: string): void {
    const seconds = Math.max(0, time - (step.started ?? time));
    this.#write(`#${step.number} ${seconds.toFixed(3)} ${text.replace(/\r$/, "").replace(/^.*\r/, "")}`);
  }

  /** Vertexes are sent many times; `cached` may come after `completed`. */
  #end(vertex: Vertex): void {
    const step = this.#steps.get(vertex.digest);
    if (!step || step.ended) return;
    step.ended = true;
    if (step.rest !== "") this.#output(step, vertex.completed ?? 0, step.rest);
    const seconds = Math.max(0, (vertex.completed ?? 0) - (vertex.started ?? vertex.completed ?? 0));
    if (vertex.error) this.#write(`#${step.number} ERROR: ${vertex.error}`);
    else this.#write(`#${step.number} ${vertex.cached ? "CACHED" : `DONE ${seconds.toFixed(1)}s`}`);
  }
}
