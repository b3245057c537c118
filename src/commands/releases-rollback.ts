import type { Command } from "./command.ts";
import { promote } from "./promote.ts";
import { json, step } from "./show.ts";

export const releasesRollback: Command = {
  name: "releases rollback",
  args: "<id>",
  summary: "copy an earlier release to a new one, and make that active",
  flags: {
    id: { type: "boolean", summary: "print only the new release id; the rest goes to stderr" },
    force: { type: "boolean", summary: "also while the app is updating" },
  },
  examples: ["davit releases rollback RABCDEFGHIJ -a shop"],
  async run(input, context) {
    const rack = await context.rack();
    const app = await context.appName();
    const [id = ""] = input.args;
    const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
    const release = await step(
      out,
      `Rolling back to ${id}`,
      async () => {
        const { build, env } = await rack.release(app, id);
        return await rack.createRelease(app, { build, env });
      },
      (made) => made.id,
    );
    await promote(rack, app, release.id, out, context, input.on("force"));
    if (input.on("id")) context.stdout.print(release.id);
    else if (input.on("json")) json(context, release);
  },
};
