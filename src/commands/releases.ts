import { table } from "../terminal/table.ts";
import { ago } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json, numberFlag } from "./show.ts";

export const releases: Command = {
  name: "releases",
  summary: "list releases, newest first",
  flags: { limit: { type: "string", short: "l", summary: "how many; 10 when left out" } },
  examples: ["davit releases -a shop"],
  async run(input, context) {
    const rack = await context.rack();
    const name = await context.appName();
    const app = await rack.app(name);
    const list = await rack.releases(name, await numberFlag(input, "limit", 10));
    if (input.on("json")) return json(context, list);
    const rows = list.map((release) => [
      release.id,
      release.id === app.release ? "active" : "",
      release.build,
      ago(release.created, context.now()),
      release.description,
    ]);
    context.stdout.print(
      table(["ID", "STATUS", "BUILD", "CREATED", "DESCRIPTION"], rows, context.stdout.paint),
    );
  },
};
