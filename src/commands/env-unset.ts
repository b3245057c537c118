import type { Command } from "./command.ts";
import { changeEnv, changeFlags } from "./env-change.ts";

export const envUnset: Command = {
  name: "env unset",
  args: "<name> [name...]",
  summary: "remove variables, in a new release",
  flags: changeFlags,
  examples: ["davit env unset LOG_LEVEL -a shop"],
  async run(input, context) {
    const names = [...input.args].sort();
    await changeEnv(input, context, `Unsetting ${names.join(", ")}`, (before) =>
      Object.fromEntries(Object.entries(before).filter(([name]) => !names.includes(name))),
    );
  },
};
