import { fields } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const rack: Command = {
  name: "rack",
  summary: "show the rack",
  examples: ["davit rack", "davit rack -r west --json"],
  async run(input, context) {
    const system = await (await context.rack()).system();
    if (input.on("json")) return json(context, system);
    context.stdout.print(
      fields(
        [
          ["Name", system.name],
          ["Provider", system.provider],
          ["Status", system.status],
          ["Version", system.version],
        ],
        context.stdout.paint,
      ),
    );
  },
};
