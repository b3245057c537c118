import { fields } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const releasesInfo: Command = {
  name: "releases info",
  args: "<id>",
  summary: "show a release",
  flags: { reveal: { type: "boolean", summary: "accepted for convox's sake: env is shown as it is" } },
  examples: ["davit releases info RABCDEFGHIJ -a shop"],
  async run(input, context) {
    const release = await (await context.rack()).release(await context.appName(), input.args[0] ?? "");
    if (input.on("json")) return json(context, release);
    context.stdout.print(
      fields(
        [
          ["Id", release.id],
          ["Build", release.build],
          ["Created", release.created],
          ["Description", release.description],
          ["Env", release.env],
        ],
        context.stdout.paint,
      ),
    );
  },
};
