import type { Command } from "./command.ts";
import { confirm, step } from "./show.ts";

export const buildsDelete: Command = {
  name: "builds delete",
  args: "<id>",
  summary: "delete a build, its releases, and what no other build needs of it",
  examples: ["davit builds delete BABCDEFGHIJ -a shop --yes"],
  async run(input, context) {
    const [id = ""] = input.args;
    const app = await context.appName();
    const rack = await context.rack();
    await rack.build(app, id);
    await confirm(input, context, `Delete build ${id} of app ${app}`);
    await step(context.stdout, `Deleting ${id}`, () => rack.deleteBuild(app, id));
  },
};
