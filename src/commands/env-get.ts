import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { readEnv } from "./env.ts";

export const envGet: Command = {
  name: "env get",
  args: "<name>",
  summary: "show one variable's value",
  flags: { release: { type: "string", summary: "of this release" } },
  examples: ["davit env get DATABASE_URL -a shop"],
  async run(input, context) {
    const [name = ""] = input.args;
    const value = (await readEnv(input, context))[name];
    if (value === undefined)
      throw new DavitError("not-found", `env not found: ${name}`, { hint: "see `davit env`" });
    context.stdout.data(`${value}\n`);
  },
};
