import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";

export const resourcesUrl: Command = {
  name: "resources url",
  args: "<name>",
  summary: "print where a resource is, with its password, as services are told",
  examples: ["davit resources url database -a shop"],
  async run(input, context) {
    const [[name = ""], app] = [input.args, await context.appName()];
    const found = (await (await context.rack()).running.resources(app)).find((one) => one.name === name);
    if (!found)
      throw new DavitError("not-found", `no such resource: ${name}`, {
        hint: `see \`davit resources -a ${app}\``,
      });
    context.stdout.data(`${found.url}\n`);
  },
};
