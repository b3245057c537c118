import { DavitError } from "../errors.ts";
import { type Instruction, instructionsOf } from "./dockerfile-instructions.ts";

/** What the pipeline needs to know of a Dockerfile; the engine does the rest. */
export interface Dockerfile {
  /** Every name that an `ARG` declares, in any stage. */
  args: string[];
  /** Named stages, in order. */
  stages: string[];
  /** What a builder would refuse before it ran anything. */
  mistakes: { line: number; message: string }[];
}

/** A longer Dockerfile is refused, in characters: reading one takes the event loop for milliseconds only. */
const MAX_LENGTH = 1024 * 1024;

/** https://docs.docker.com/reference/dockerfile/ */
const INSTRUCTIONS = new Set(
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(
    " ",
  ),
);

export function parseDockerfile(text: string): Dockerfile {
  if (text.length > MAX_LENGTH)
    throw new DavitError("invalid", `Cannot read the Dockerfile: it is longer than ${MAX_LENGTH} characters`);
  const args = new Set<string>();
  const stages: string[] = [];
  const mistakes: Dockerfile["mistakes"] = [];
  let inStage = false;
  for (const instruction of instructionsOf(text)) {
    const { keyword, words, line } = instruction;
    const mistake = mistakeOf(instruction, inStage);
    if (mistake !== undefined) mistakes.push({ line, message: mistake });
    inStage ||= keyword === "FROM";
    if (keyword === "ARG") for (const word of words) args.add(word.split("=", 1).join());
    const stage = keyword === "FROM" ? stageOf(words) : undefined;
    if (stage !== undefined) stages.push(stage);
  }
  if (!inStage && mistakes.length === 0) mistakes.push({ line: 1, message: "it has no FROM" });
  return { args: [...args], stages, mistakes };
}

function mistakeOf({ keyword, words }: Instruction, inStage: boolean): string | undefined {
  if (!INSTRUCTIONS.has(keyword)) return `unknown instruction: ${keyword.slice(0, 100)}`;
  if (words.length === 0) return `${keyword} needs an argument`;
  if (!inStage && keyword !== "FROM" && keyword !== "ARG") return `${keyword} comes before the first FROM`;
  return undefined;
}

/** `FROM [--platform=…] IMAGE AS NAME` */
function stageOf(words: string[]): string | undefined {
  const [, as, name] = words.filter((word) => !word.startsWith("--"));
  return as?.toUpperCase() === "AS" ? name : undefined;
}

/** The stage that `--development` builds: one named just so, in any case; else the last one. */
export function developmentStage(file: Dockerfile): string | undefined {
  return file.stages.find((stage) => stage.toLowerCase() === "development");
}
