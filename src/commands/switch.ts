import type { Command } from "./command.ts";

export const switchRack: Command = {
  name: "switch",
  args: "[rack]",
  summary: "choose the rack that commands use, or show which it is",
  examples: ["davit switch west", "davit switch"],
  async run(input, context) {
    const [name] = input.args;
    if (name === undefined) {
      context.stdout.line(await context.rackName());
      return;
    }
    const { Home, LOCAL, noRack } = await import("../rack/home.ts");
    const home = new Home(context.env);
    if (name !== LOCAL && !home.hasRack(name)) throw noRack(name);
    await home.setCurrentRack(name);
    context.stdout.line(`Switched to ${name}`);
  },
};
