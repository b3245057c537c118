import { LineSplitter } from "../lines.ts";
import type { Trace, Vertex, VertexLog } from "./trace.ts";

interface Step {
  number: number;
  started: number | undefined;
  ended: boolean;
  lines: LineSplitter;
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
    const step = {
      number: this.#steps.size + 1,
      started: vertex.started,
      ended: false,
      lines: new LineSplitter(),
    };
    this.#steps.set(vertex.digest, step);
    this.#write(`#${step.number} ${vertex.name}`);
  }

  /** A message may end in the middle of a line; the rest comes with the next one. */
  #log(log: VertexLog): void {
    const step = this.#steps.get(log.vertex);
    if (!step) return;
    for (const part of step.lines.push(log.text)) this.#output(step, log.time, part);
  }

  #output(step: Step, time: number, text: string): void {
    const seconds = Math.max(0, time - (step.started ?? time));
    this.#write(`#${step.number} ${seconds.toFixed(3)} ${shownOf(text)}`);
  }

  /** Vertexes are sent many times; `cached` may come after `completed`. */
  #end(vertex: Vertex): void {
    const step = this.#steps.get(vertex.digest);
    if (!step || step.ended) return;
    step.ended = true;
    for (const line of step.lines.end()) this.#output(step, vertex.completed ?? 0, line);
    const seconds = Math.max(0, (vertex.completed ?? 0) - (vertex.started ?? vertex.completed ?? 0));
    if (vertex.error) this.#write(`#${step.number} ERROR: ${vertex.error}`);
    else this.#write(`#${step.number} ${vertex.cached ? "CACHED" : `DONE ${seconds.toFixed(1)}s`}`);
  }
}

/** The part of a line that a terminal shows: what follows its last carriage return. */
function shownOf(line: string): string {
  const text = line.endsWith("\r") ? line.slice(0, -1) : line;
  return text.slice(text.lastIndexOf("\r") + 1);
}
