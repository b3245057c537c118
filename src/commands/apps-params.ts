import { DavitError } from "../errors.ts";
import { fields } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { namedValues } from "./named-values.ts";
import { json, step } from "./show.ts";

export const appsParams: Command = {
  name: "apps params",
  args: "[set] [NAME=VALUE...]",
  summary: "show an app's parameters, or set some",
  examples: ["davit apps params -a shop", "davit apps params set BuildMem=1024 -a shop"],
  async run(input, context) {
    const [rack, app] = [await context.rack(), await context.appName()];
    const [verb, ...changes] = input.args;
    if (verb === "set") {
      const parameters = namedValues(changes);
      return await step(context.stdout, "Updating parameters", () => rack.updateApp(app, { parameters }));
    }
    if (verb !== undefined)
      throw new DavitError("usage", `Cannot ${verb} parameters`, {
        hint: "`davit apps params set NAME=VALUE`",
      });
    const { parameters } = await rack.app(app);
    if (input.on("json")) return json(context, parameters);
    const rows = Object.entries(parameters).sort(([a], [b]) => (a < b ? -1 : 1));
    context.stdout.print(fields(rows, context.stdout.paint));
  },
};
