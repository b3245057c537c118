import { DavitError } from "../errors.ts";
import { fields } from "../terminal/table.ts";
import { ago } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const psInfo: Command = {
  name: "ps info",
  args: "<id>",
  summary: "show a process",
  examples: ["davit ps info web-1a2b3c4d5e6f -a shop"],
  async run(input, context) {
    const [[id = ""], app] = [input.args, await context.appName()];
    const found = (await (await context.rack()).running.processes(app)).find((one) => one.id === id);
    if (!found)
      throw new DavitError("not-found", `no such process: ${id}`, { hint: `see \`davit ps -a ${app}\`` });
    if (input.on("json")) return json(context, found);
    const { command, release, service, started, status } = found;
    const rows: [string, string][] = [
      ["Id", id],
      ["App", app],
      ["Command", command],
      ["Release", release],
      ["Service", service],
      ["Started", ago(started, context.now())],
      ["Status", status],
    ];
    context.stdout.print(fields(rows, context.stdout.paint));
  },
};
