import type { Command } from "./command.ts";
import { step } from "./show.ts";

export const psStop: Command = {
  name: "ps stop",
  args: "<id>",
  summary: "end a process; another takes its place",
  examples: ["davit ps stop web-1a2b3c4d5e6f -a shop"],
  async run(input, context) {
    const [id = ""] = input.args;
    const [rack, app] = [await context.rack(), await context.appName()];
    await step(context.stdout, `Stopping ${id}`, () => rack.running.stop(app, id));
  },
};
