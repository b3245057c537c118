import type { Command } from "./command.ts";
import { step } from "./show.ts";

export const appsCancel: Command = {
  name: "apps cancel",
  args: "[app]",
  summary: "have a promotion that is on its way go back",
  examples: ["davit apps cancel shop"],
  async run(input, context) {
    const app = await context.appName(input.args[0]);
    const rack = await context.rack();
    await step(context.stdout, `Cancelling deployment of ${app}`, () => rack.cancel(app));
  },
};
