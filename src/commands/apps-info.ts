import { fields } from "../terminal/table.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const appsInfo: Command = {
  name: "apps info",
  args: "[app]",
  summary: "show an app",
  examples: ["davit apps info shop"],
  async run(input, context) {
    const app = await (await context.rack()).app(await context.appName(input.args[0]));
    if (input.on("json")) return json(context, app);
    context.stdout.print(
      fields(
        [
          ["Name", app.name],
          ["Status", app.status],
          ["Generation", app.generation],
          ["Locked", String(app.locked)],
          ["Release", app.release],
          ...(app.problem === undefined ? [] : [problemLine(app.problem)]),
        ],
        context.stdout.paint,
      ),
    );
  },
};

function problemLine(problem: string): [string, string] {
  return ["Problem", problem.split("\n")[0] ?? ""];
}
