import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const registries: Command = {
  name: "registries",
  summary: "list the registries that the rack's builds are logged in to",
  examples: ["davit registries", "davit registries --json"],
  async run(input, context) {
    const list = (await (await context.rack()).registries()).map(({ password: _, ...shown }) => shown);
    if (input.on("json")) return json(context, list);
    const rows = list.map(({ server, username, apps }) => [
      server,
      username,
      apps ? apps.join(",") || "none" : "all",
    ]);
    context.stdout.print(table(["SERVER", "USERNAME", "APPS"], rows, context.stdout.paint));
  },
};
