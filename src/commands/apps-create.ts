import type { Command } from "./command.ts";
import { json, step } from "./show.ts";

export const appsCreate: Command = {
  name: "apps create",
  args: "[app]",
  summary: "create an app",
  flags: {
    generation: { type: "string", short: "g", summary: "2 or 3; 3 when left out" },
    "data-of": {
      type: "string",
      summary: "give it what a deleted app has left, by the id that `davit apps --deleted` shows",
    },
    timeout: { type: "string", summary: "accepted for convox's sake: apps are made at once" },
  },
  examples: ["davit apps create shop"],
  async run(input, context) {
    const name = await context.appName(input.args[0]);
    const rack = await context.rack();
    const out = input.on("json") ? context.stderr : context.stdout;
    const app = await step(out, `Creating ${name}`, () =>
      rack.createApp(name, input.text("generation"), input.text("data-of")),
    );
    if (input.on("json")) json(context, app);
  },
};
