import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const racks: Command = {
  name: "racks",
  summary: "list racks",
  examples: ["davit racks", "davit racks --json"],
  async run(input, context) {
    const { knownRacks } = await import("../rack/find-rack.ts");
    const current = await context.rackName();
    const list = (await knownRacks(context.env)).map(({ name, address }) => ({
      name,
      provider: address ? "remote" : "local",
      status: address ? "unknown" : "running",
      ...(address ? { url: address.url.href } : {}),
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
