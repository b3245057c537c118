import type { Command } from "./command.ts";
import { confirm, step } from "./show.ts";

export const racksRemove: Command = {
  name: "racks remove",
  args: "<name>",
  summary: "delete an embedded rack with everything in it, or forget the address of another",
  examples: ["davit racks remove west --yes"],
  async run(input, context) {
    const [name = ""] = input.args;
    const { Home, noRack } = await import("../rack/home.ts");
    const home = new Home(context.env);
    if ((await home.rackUrl(name)) !== undefined)
      return await step(context.stdout, `Forgetting rack ${name}`, () => home.removeRemote(name));
    if (!home.hasRack(name)) throw noRack(name);
    await confirm(input, context, `Delete rack ${name} with all its apps and builds`);
    await step(context.stdout, `Removing rack ${name}`, () => home.removeRack(name));
  },
};
