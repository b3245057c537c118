import type { Command } from "./command.ts";
import { confirm, step } from "./show.ts";

export const appsDelete: Command = {
  name: "apps delete",
  args: "<app>",
  summary: "delete an app, its builds and its releases",
  examples: ["davit apps delete shop --yes"],
  async run(input, context) {
    const [name = ""] = input.args;
    const rack = await context.rack();
    await rack.app(name);
    await confirm(input, context, `Delete app ${name} with all its builds from rack ${rack.name}`);
    await step(context.stdout, `Deleting ${name}`, () => rack.deleteApp(name));
  },
};
