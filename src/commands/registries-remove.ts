import type { Command } from "./command.ts";
import { step } from "./show.ts";

export const registriesRemove: Command = {
  name: "registries remove",
  args: "<server>",
  summary: "forget the login of the rack's builds to a registry",
  examples: ["davit registries remove registry.example.com"],
  async run(input, context) {
    const [server = ""] = input.args;
    const rack = await context.rack();
    await step(context.stdout, "Removing registry", () => rack.removeRegistry(server));
  },
};
