import { table } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { numberOf } from "./number.ts";
import { json, step } from "./show.ts";

export const scale: Command = {
  name: "scale",
  args: "[service]",
  summary: "show how much of each service runs, or change it",
  flags: {
    count: { type: "string", summary: "how many processes" },
    cpu: { type: "string", summary: "thousandths of a processor for each" },
    memory: { type: "string", summary: "megabytes for each" },
  },
  examples: ["davit scale -a shop", "davit scale web --count 3 -a shop"],
  async run(input, context) {
    const [rack, app, [service]] = [await context.rack(), await context.appName(), input.args];
    const change = { ...numberOf(input, "count"), ...numberOf(input, "cpu"), ...numberOf(input, "memory") };
    if (service !== undefined && Object.keys(change).length > 0)
      return await step(context.stdout, `Scaling ${service}`, () => rack.running.scale(app, service, change));
    const [all, running] = [await rack.running.services(app), await rack.running.processes(app)];
    const found = all
      .filter(({ name }) => service === undefined || name === service)
      .map(({ name, count, cpu, memory }) => {
        const now = running.filter((one) => one.service === name && one.status === "running").length;
        return { service: name, desired: count, running: now, cpu, memory };
      });
    if (input.on("json")) return json(context, found);
    const rows = found.map((row) => Object.values(row).map(String));
    context.stdout.print(
      table(["SERVICE", "DESIRED", "RUNNING", "CPU", "MEMORY"], rows, context.stdout.paint),
    );
  },
};
