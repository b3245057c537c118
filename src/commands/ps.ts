import { table } from "../terminal/table.ts";
import { ago } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const ps: Command = {
  name: "ps",
  summary: "list what runs of an app",
  flags: {
    release: { type: "string", summary: "of this release" },
    service: { type: "string", short: "s", summary: "of this service" },
  },
  examples: ["davit ps -a shop"],
  async run(input, context) {
    const [release, service] = [input.text("release"), input.text("service")];
    const all = await (await context.rack()).running.processes(await context.appName());
    const found = all.filter(
      (one) => (!release || one.release === release) && (!service || one.service === service),
    );
    if (input.on("json")) return json(context, found);
    const rows = found.map((one) => [
      ...[one.id, one.service, one.status, one.release],
      ...[ago(one.started, context.now()), one.command],
    ]);
    const header = ["ID", "SERVICE", "STATUS", "RELEASE", "STARTED", "COMMAND"];
    context.stdout.print(table(header, rows, context.stdout.paint));
  },
};
