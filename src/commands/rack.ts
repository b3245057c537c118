import { fields } from "../terminal/table.ts";
import { bytes as sizeText } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const rack: Command = {
  name: "rack",
  summary: "show the rack",
  examples: ["davit rack", "davit rack -r west --json"],
  async run(input, context) {
    const system = await (await context.rack()).system();
    if (input.on("json")) return json(context, system);
    const rows: [string, string][] = [
      ["Name", system.name],
      ["Provider", system.provider],
      ["Status", system.status],
      ["Version", system.version],
    ];
    const { Registry } = system.parameters;
    const [blobs, bytes] = system.outputs["moving"]?.split(" ") ?? [];
    if (Registry) rows.push(["Registry", Registry]);
    if (bytes !== undefined) rows.push(["Moving", `${blobs} blobs, ${sizeText(Number(bytes))}`]);
    context.stdout.print(fields(rows, context.stdout.paint));
  },
};
