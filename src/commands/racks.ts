import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const racks: Command = {
  name: "racks",
  summary: "list racks",
  examples: ["davit racks", "davit racks --json"],
  async run(input, context) {
    const { Home } = await import("../rack/home.ts");
    const current = await context.rackName();
    const names = await new Home(context.env).racks();
    const list = names.map((name) => ({
      name,
      provider: "local",
      status: "running",
      current: name === current,
    }));
    if (input.on("json")) return json(context, list);
    context.stdout.print(
      table(
        ["NAME", "PROVIDER", "STATUS"],
        list.map((rack) => [rack.name, rack.provider, rack.status]),
        context.stdout.paint,
      ),
    );
  },
};
