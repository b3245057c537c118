import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const resources: Command = {
  name: "resources",
  summary: "list the databases and the like of the active release",
  examples: ["davit resources -a shop"],
  async run(input, context) {
    const all = await (await context.rack()).running.resources(await context.appName());
    // Their passwords are for `resources url`.
    const found = all.map(({ url: _, ...rest }) => rest);
    if (input.on("json")) return json(context, found);
    const rows = found.map(({ name, type, status }) => [name, type, status]);
    context.stdout.print(table(["NAME", "TYPE", "STATUS"], rows, context.stdout.paint));
  },
};
