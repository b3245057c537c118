import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { rackOptions } from "./context.ts";
import { step } from "./show.ts";

export const racksAdd: Command = {
  name: "racks add",
  args: "<name> [url]",
  summary: "make another embedded rack",
  examples: ["davit racks add west"],
  async run(input, context) {
    const [name = "", url] = input.args;
    if (url !== undefined)
      throw new DavitError("unsupported", `Cannot add ${url}: this davit knows embedded racks only`, {
        hint: "leave the URL out to make one",
      });
    const { EmbeddedRack } = await import("../rack/embedded.ts");
    await step(context.stdout, `Adding rack ${name}`, async () => {
      await using _ = await EmbeddedRack.create(name, rackOptions(context.env));
    });
  },
};
