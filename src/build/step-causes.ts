import { anyOf, trimEnd } from "../scanner.ts";
import type { Step } from "./steps.ts";

/** An earlier build of the same service, and what is different now. */
export interface Before {
  /** Its id. */
  build: string;
  steps: readonly Pick<Step, "stage" | "text">[];
  /** Names of build args that have another value now. */
  args: readonly string[];
  /** Paths in the context that are different; undefined where that is not known. */
  files: readonly string[] | undefined;
}

/** Paths that are named one by one. */
const NAMED = 3;

/** Why each step was not cached; nothing of those that were. */
export function causesOf(
  steps: readonly Step[],
  before: Before | undefined,
  noCache: boolean,
): (string | undefined)[] {
  return steps.map((step) => {
    if (step.cached) return undefined;
    if (isFrom(step)) return baseCause(step, before);
    if (noCache) return "--no-cache";
    const first = step.after.map((at) => steps[at]).find((other) => other && !other.cached && !isFrom(other));
    if (first) return `follows ${first.name}`;
    const base = step.after.map((at) => steps[at]).find((other) => other && isFrom(other));
    if (base && baseCause(base, before)) return `follows ${base.name}`;
    return before ? ownCause(step, steps, before) : "the first build of this service here";
  });
}

function isFrom({ text }: Pick<Step, "text">): boolean {
  return /^FROM /i.test(text);
}

/** A base image is not built: it is another one, or the same. */
function baseCause(step: Step, before: Before | undefined): string | undefined {
  const old = before?.steps.find((other) => other.stage === step.stage && isFrom(other));
  if (!old || old.text === step.text) return undefined;
  return `was ${old.text}`;
}

function ownCause(step: Step, steps: readonly Step[], before: Before): string {
  const same = before.steps.some((old) => old.stage === step.stage && old.text === step.text);
  if (!same) return newCause(step, steps, before);
  if (step.fromContext) {
    if (before.files === undefined) return "files changed; which is not known";
    const changed = before.files.filter((path) => isCopied(path, step.text));
    if (changed.length > 0) return `${listed(changed)} changed since ${before.build}`;
  }
  if (before.args.length > 0) return `build arg ${before.args.join(", ")} changed since ${before.build}`;
  return `nothing that is known: the builder may not have it any more`;
}

/** A step at the same place of its stage that is gone has become this one. */
function newCause(step: Step, steps: readonly Step[], before: Before): string {
  const place = steps.filter(({ stage }) => stage === step.stage).indexOf(step);
  const old = before.steps.filter(({ stage }) => stage === step.stage)[place];
  const stays = old && steps.some(({ stage, text }) => stage === old.stage && text === old.text);
  if (!old || stays) return `new since ${before.build}`;
  // BuildKit writes values into the text.
  const args = before.args.length > 0 ? `; build arg ${before.args.join(", ")} changed` : "";
  return `was ${old.text}${args}`;
}

function listed(paths: readonly string[]): string {
  const more = paths.length - NAMED;
  return paths.slice(0, NAMED).join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** Whether an instruction takes a path out of the context: exactly, up to the first pattern in a name. */
export function isCopied(path: string, instruction: string): boolean {
  if (!/^(COPY|ADD) /i.test(instruction)) return true;
  return sourcesOf(instruction).some((source) => {
    const plain = trimEnd(source.replace(/^(\.?\/)+/, ""), anyOf("/"));
    const fixed = /[*?[\\]/.test(plain) ? plain.slice(0, plain.search(/[*?[\\]/)) : undefined;
    if (fixed !== undefined) return path.startsWith(fixed);
    return plain === "" || plain === "." || path === plain || path.startsWith(`${plain}/`);
  });
}

/** All words of a COPY but its flags and the last. */
function sourcesOf(instruction: string): string[] {
  const rest = instruction.replace(/^\w+\s+/, "").replace(/^(--\S+\s+)*/, "");
  if (!rest.startsWith("[")) return rest.split(/\s+/).slice(0, -1);
  try {
    const words: unknown = JSON.parse(rest);
    return Array.isArray(words) ? words.slice(0, -1).map(String) : [];
  } catch {
    return [];
  }
}
