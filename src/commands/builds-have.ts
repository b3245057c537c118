import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const buildsHave: Command = {
  name: "builds have",
  summary: "list the digests an app holds, for `builds export --have` on the other side",
  examples: ["davit builds have -a shop -r west > have.txt"],
  async run(input, context) {
    const rack = await context.rack();
    const digests = await rack.blobs(await context.appName());
    if (input.on("json")) return json(context, digests);
    for (const digest of digests) context.stdout.line(digest);
  },
};
