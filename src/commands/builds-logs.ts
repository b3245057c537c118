import type { Command } from "./command.ts";

export const buildsLogs: Command = {
  name: "builds logs",
  args: "<id>",
  summary: "show a build's log; of a running build, until it ends",
  examples: ["davit builds logs BABCDEFGHIJ -a shop"],
  async run(input, context) {
    const log = await (await context.rack()).buildLog(await context.appName(), input.args[0] ?? "");
    const text = new TextDecoder();
    for await (const chunk of log) {
      context.signal.throwIfAborted();
      // The build may be another user's: its log must not control this terminal.
      if (context.stdout.isTerminal) context.stdout.log(text.decode(chunk, { stream: true }));
      else await context.stdout.write(chunk);
    }
  },
};
