import { attach } from "./attach.ts";
import type { Command } from "./command.ts";
import { commandOf } from "./exec.ts";
import { numberOf } from "./number.ts";
import { step } from "./show.ts";

export const run: Command = {
  name: "run",
  args: "<service> <command...>",
  summary: "run a command in a new container of a service; its exit code is ours",
  flags: {
    detach: { type: "boolean", short: "d", summary: "do not wait for it; print its process's id" },
    cpu: { type: "string", summary: "thousandths of a processor, instead of the service's" },
    memory: { type: "string", summary: "megabytes, instead of the service's" },
    release: { type: "string", summary: "of this release; the active one when left out" },
  },
  examples: ["davit run web sh -a shop", 'davit run web "rake db:migrate" -a shop -d'],
  async run(input, context) {
    const [service = "", ...words] = input.args;
    const [rack, app] = [await context.rack(), await context.appName()];
    const wanted = {
      service,
      command: await commandOf(words),
      release: input.text("release"),
      ...numberOf(input, "cpu"),
      ...numberOf(input, "memory"),
    };
    if (!input.on("detach")) return await attach(context, (to) => rack.running.runOnce(app, wanted, to));
    const id = await step(context.stderr, "Running", () => rack.running.runDetached(app, wanted));
    context.stdout.line(id);
  },
};
