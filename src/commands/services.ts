import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const services: Command = {
  name: "services",
  summary: "list the services of the active release",
  examples: ["davit services -a shop"],
  async run(input, context) {
    const found = await (await context.rack()).running.services(await context.appName());
    if (input.on("json")) return json(context, found);
    const rows = found.map(({ name, domain, ports }) => [name, domain, ports.join(" ")]);
    context.stdout.print(table(["SERVICE", "DOMAIN", "PORTS"], rows, context.stdout.paint));
  },
};
