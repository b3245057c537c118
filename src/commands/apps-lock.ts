import type { Command } from "./command.ts";
import { step } from "./show.ts";

export const appsLock: Command = {
  name: "apps lock",
  args: "[app]",
  summary: "refuse to delete an app",
  examples: ["davit apps lock shop"],
  async run(input, context) {
    const [rack, app] = [await context.rack(), await context.appName(input.args[0])];
    await step(context.stdout, `Locking ${app}`, () => rack.updateApp(app, { locked: true }));
  },
};

export const appsUnlock: Command = {
  name: "apps unlock",
  args: "[app]",
  summary: "let an app be deleted again",
  examples: ["davit apps unlock shop"],
  async run(input, context) {
    const [rack, app] = [await context.rack(), await context.appName(input.args[0])];
    await step(context.stdout, `Unlocking ${app}`, () => rack.updateApp(app, { locked: false }));
  },
};
