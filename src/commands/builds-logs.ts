import type { Command } from "./command.ts";

export const buildsLogs: Command = {
  name: "builds logs",
  args: "<id>",
  summary: "show a build's log; of a running build, until it ends",
  examples: ["davit builds logs BABCDEFGHIJ -a shop"],
  async run(input, context) {
    const log = await (await context.rack()).buildLog(await context.appName(), input.args[0] ?? "");
    for await (const chunk of log) {
      context.signal.throwIfAborted();
      await context.stdout.write(chunk);
    }
  },
};
