import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const apps: Command = {
  name: "apps",
  summary: "list apps",
  examples: ["davit apps", "davit apps -r west --json"],
  async run(input, context) {
    const list = await (await context.rack()).apps();
    if (input.on("json")) return json(context, list);
    context.stdout.print(
      table(
        ["APP", "STATUS", "RELEASE"],
        list.map((app) => [app.name, app.status, app.release]),
        context.stdout.paint,
      ),
    );
  },
};
