/** What the pipeline needs to know of a Dockerfile; the engine does the rest. */
export interface Dockerfile {
  /** Every name that an `ARG` declares, in any stage. */
  args: string[];
  /** Named stages, in order. */
  stages: string[];
  hasFrom: boolean;
}

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
  return { args: [...args], stages, hasFrom: file.getFROMs().length > 0 };
}

/** The stage that `--development` builds: one named just so, in any case; else the last one. */
export function developmentStage(file: Dockerfile): string | undefined {
  return file.stages.find((stage) => stage.toLowerCase() === "development");
}
