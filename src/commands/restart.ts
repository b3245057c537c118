import type { Command } from "./command.ts";
import { step } from "./show.ts";

export const restart: Command = {
  name: "restart",
  args: "[service]",
  summary: "replace what runs of an app, or of one service, by new processes",
  examples: ["davit restart -a shop", "davit restart web -a shop"],
  async run(input, context) {
    const [rack, app] = [await context.rack(), await context.appName()];
    const running = (await rack.running.processes(app)).map(({ service }) => service);
    const services = input.args[0] === undefined ? [...new Set(running)].sort() : [input.args[0]];
    for (const service of services)
      await step(context.stdout, `Restarting ${service}`, () => rack.running.restart(app, service));
  },
};
