import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { promote } from "./promote.ts";

export const releasesPromote: Command = {
  name: "releases promote",
  args: "[id]",
  summary: "make a release the active one; the newest when none is named",
  flags: { force: { type: "boolean", summary: "also while the app is updating" } },
  examples: ["davit releases promote RABCDEFGHIJ -a shop"],
  async run(input, context) {
    const rack = await context.rack();
    const app = await context.appName();
    const id = input.args[0] ?? (await rack.releases(app, 1))[0]?.id;
    if (id === undefined)
      throw new DavitError("not-found", "no releases to promote", { hint: "build something first" });
    await promote(rack, app, id, context.stdout, context, input.on("force"));
  },
};
