import { attach } from "./attach.ts";
import type { Command } from "./command.ts";

export const exec: Command = {
  name: "exec",
  args: "<process> <command...>",
  summary: "run a command beside a process; its exit code is ours",
  examples: ["davit exec web-1a2b3c4d5e6f sh -a shop", "davit exec web-1a2b3c4d5e6f -a shop -- ls -l /"],
  async run(input, context) {
    const [id = "", ...words] = input.args;
    const [rack, app] = [await context.rack(), await context.appName()];
    await attach(context, async (to) => await rack.running.exec(app, id, await commandOf(words), to));
  },
};

/** One word with spaces is a whole command, as the original takes it. */
export async function commandOf(words: readonly string[]): Promise<readonly string[]> {
  const [only = "", another] = words;
  if (another !== undefined || !/\s/.test(only)) return words;
  const { shellWords } = await import("../shell-words.ts");
  return shellWords(only);
}
