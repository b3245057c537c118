import { buildFlags, runBuild } from "./build.ts";
import type { Command } from "./command.ts";
import { promote } from "./promote.ts";
import { json } from "./show.ts";

export const deploy: Command = {
  name: "deploy",
  args: "[dir]",
  summary: "build a project's services, and make the release active",
  flags: { ...buildFlags, force: { type: "boolean", summary: "also while the app is updating" } },
  examples: ["davit deploy", "davit deploy ./shop -a shop --id"],
  async run(input, context) {
    const built = await runBuild(input, context);
    const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
    await promote(await context.rack(), built.app, built.release, out, context, input.on("force"));
    if (input.on("id")) context.stdout.print(built.release);
    else if (input.on("json")) json(context, built);
  },
};
