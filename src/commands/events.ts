import { table } from "../terminal/table.ts";
import { ago } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json, numberFlag } from "./show.ts";

export const events: Command = {
  name: "events",
  summary: "show who did what in the rack, newest first",
  flags: { limit: { type: "string", short: "l", summary: "how many; 20 when left out" } },
  examples: ["davit events", "davit events --json -l 100"],
  async run(input, context) {
    const list = await (await context.rack()).events(await numberFlag(input, "limit", 20));
    if (input.on("json")) return json(context, list);
    const rows = list.map(({ at, actor, action, status, error, data, source }) => [
      ago(at, context.now()),
      actor,
      action,
      status,
      [
        ...Object.entries(data).map(([name, value]) => `${name}=${value}`),
        ...[source === "client" ? "(says the client)" : "", error],
      ]
        .filter(Boolean)
        .join(" "),
    ]);
    context.stdout.print(table(["WHEN", "WHO", "ACTION", "STATUS", "DETAILS"], rows, context.stdout.paint));
  },
};
