import type { FormerApp } from "../rack/rack.ts";
import { table } from "../terminal/table.ts";
import { ago } from "../terminal/time.ts";
import type { Command, Context, Input } from "./command.ts";
import { json } from "./show.ts";

export const apps: Command = {
  name: "apps",
  summary: "list apps",
  flags: {
    deleted: { type: "boolean", summary: "list deleted apps that have left data, and the ids it is under" },
  },
  examples: ["davit apps", "davit apps -r west --json"],
  async run(input, context) {
    const rack = await context.rack();
    if (input.on("deleted")) return await listFormer(await rack.formerApps(), input, context);
    const list = await rack.apps();
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

async function listFormer(former: FormerApp[], input: Input, context: Context): Promise<void> {
  if (input.on("json")) return json(context, former);
  const rows = former.map(({ id, name, deleted }) => [id, name, ago(deleted, context.now())]);
  context.stdout.print(table(["ID", "APP", "DELETED"], rows, context.stdout.paint));
}
