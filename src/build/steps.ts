import type { Trace, Vertex } from "./trace.ts";

/** A step, and what it was made from. */
export interface Step {
  /** As BuildKit calls it: `[2/3] COPY . /src`. */
  name: string;
  /** The stage it belongs to, with the platform where there are several. */
  stage: string;
  /** The instruction. */
  text: string;
  cached: boolean;
  seconds: number;
  /** Steps that it follows or copies from, by their place in the list. */
  after: number[];
  /** Whether it takes files out of the context. */
  fromContext: boolean;
}

/** `[stage 2/3] COPY . /src`; all else is BuildKit's own business. */
const STEP = /^\[(?:(.*) )?\d+\/\d+\] (.*)/s;
const CONTEXT = /^\[.*internal\] load build context/;

/** Gathers a build's steps from its trace. */
export class StepRecorder {
  readonly #vertexes = new Map<string, Vertex>();

  show({ vertexes }: Pick<Trace, "vertexes">): void {
    for (const vertex of vertexes) {
      const known = this.#vertexes.get(vertex.digest);
      // A vertex is told of many times, and what was said once may be left out later.
      const cached = vertex.cached || (known?.cached ?? false);
      this.#vertexes.set(vertex.digest, { ...known, ...vertex, cached });
    }
  }

  /** In the order in which they were first told of, which puts each after those it follows. */
  steps(): Step[] {
    const found = [...this.#vertexes.values()].filter(({ name }) => STEP.test(name));
    const places = new Map(found.map(({ digest }, at) => [digest, at]));
    return found.map((vertex) => {
      const [, stage = "", text = ""] = STEP.exec(vertex.name) ?? [];
      const { started, completed } = vertex;
      return {
        ...{ name: vertex.name, stage, text, cached: vertex.cached },
        seconds: started === undefined || completed === undefined ? 0 : Math.max(0, completed - started),
        after: vertex.inputs.flatMap((digest) => places.get(digest) ?? []),
        fromContext: vertex.inputs.some((digest) => CONTEXT.test(this.#vertexes.get(digest)?.name ?? "")),
      };
    });
  }
}
