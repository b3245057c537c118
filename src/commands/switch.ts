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
    const [{ Home, noRack }, { knownRacks }] = await Promise.all([
      import("../rack/home.ts"),
      import("../rack/find-rack.ts"),
    ]);
    if (!(await knownRacks(context.env)).some((rack) => rack.name === name)) throw noRack(name);
    await new Home(context.env).setCurrentRack(name);
    context.stdout.line(`Switched to ${name}`);
  },
};
