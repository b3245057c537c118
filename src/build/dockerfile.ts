import type { Dockerfile as ParsedFile } from "dockerfile-ast";

/** What the pipeline needs to know of a Dockerfile; the engine does the rest. */
export interface Dockerfile {
  /** Every name that an `ARG` declares, in any stage. */
  args: string[];
  /** Named stages, in order. */
  stages: string[];
  /** What a builder would refuse before it ran anything. */
  mistakes: { line: number; message: string }[];
}

/** https://docs.docker.com/reference/dockerfile/ */
const INSTRUCTIONS = new Set(
  "ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR".split(
    " ",
  ),
);

export async function parseDockerfile(text: string): Promise<Dockerfile> {
  const { DockerfileParser } = await import("dockerfile-ast");
  const file = DockerfileParser.parse(text);
  const args = new Set<string>();
  for (const arg of file.getARGs())
    for (const word of arg.getArguments()) args.add(word.getValue().replace(/=.*$/s, ""));
  const stages: string[] = [];
  for (const from of file.getFROMs()) {
    const stage = from.getBuildStage();
    if (stage) stages.push(stage);
  }
  return { args: [...args], stages, mistakes: findMistakes(file) };
}

function findMistakes(file: ParsedFile): Dockerfile["mistakes"] {
  const mistakes: Dockerfile["mistakes"] = [];
  let inStage = false;
  for (const instruction of file.getInstructions()) {
    const keyword = instruction.getKeyword();
    const add = (message: string) => mistakes.push({ line: instruction.getRange().start.line + 1, message });
    if (!INSTRUCTIONS.has(keyword)) add(`unknown instruction: ${keyword}`);
    else if (instruction.getArguments().length === 0) add(`${keyword} needs an argument`);
    else if (!inStage && keyword !== "FROM" && keyword !== "ARG")
      add(`${keyword} comes before the first FROM`);
    inStage ||= keyword === "FROM";
  }
  if (!inStage && mistakes.length === 0) mistakes.push({ line: 1, message: "it has no FROM" });
  return mistakes;
}

/** The stage that `--development` builds: one named just so, in any case; else the last one. */
export function developmentStage(file: Dockerfile): string | undefined {
  return file.stages.find((stage) => stage.toLowerCase() === "development");
}
