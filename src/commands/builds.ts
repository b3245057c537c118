import { table } from "../terminal/table.ts";
import { ago, elapsed } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json, numberFlag } from "./show.ts";

export const builds: Command = {
  name: "builds",
  summary: "list builds, newest first",
  flags: { limit: { type: "string", short: "l", summary: "how many; 10 when left out" } },
  examples: ["davit builds", "davit builds -a shop -l 50 --json"],
  async run(input, context) {
    const limit = await numberFlag(input, "limit", 10);
    const list = await (await context.rack()).builds(await context.appName(), limit);
    if (input.on("json")) return json(context, list);
    const rows = list.map((build) => [
      build.id,
      build.status,
      build.release,
      ago(build.started, context.now()),
      elapsed(build.started, build.ended),
      build.description,
    ]);
    context.stdout.print(
      table(["ID", "STATUS", "RELEASE", "STARTED", "ELAPSED", "DESCRIPTION"], rows, context.stdout.paint),
    );
  },
};
