import { VERSION } from "../version.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const version: Command = {
  name: "version",
  summary: "show the version of davit and of the rack",
  examples: ["davit version", "davit version --json"],
  async run(input, context) {
    const server = await context.rack().then(
      async (rack) => (await rack.system()).version,
      () => "none",
    );
    if (input.on("json")) return json(context, { client: VERSION, server, bun: Bun.version });
    context.stdout.print(`client: ${VERSION}\nserver: ${server}\n`);
  },
};
