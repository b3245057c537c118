import type { Command, Context, Input } from "./command.ts";
import { json } from "./show.ts";

export const env: Command = {
  name: "env",
  summary: "show the env of the newest release",
  flags: { release: { type: "string", summary: "of this release" } },
  examples: ["davit env -a shop", "davit env --json"],
  async run(input, context) {
    const values = await readEnv(input, context);
    if (input.on("json")) return json(context, values);
    const { renderEnv } = await import("../rack/env-text.ts");
    context.stdout.data(`${renderEnv(values)}\n`);
  },
};

/** The env of `--release`, else of the newest release; nothing before the first. */
export async function readEnv(input: Input, context: Context): Promise<Record<string, string>> {
  const rack = await context.rack();
  const app = await context.appName();
  const { parseEnv } = await import("../rack/env-text.ts");
  const id = input.text("release");
  const release = id === undefined ? (await rack.releases(app, 1))[0] : await rack.release(app, id);
  return parseEnv(release?.env ?? "");
}
