import { milliseconds } from "../duration.ts";
import type { Command } from "./command.ts";
import { numberFlag } from "./show.ts";

export const logs: Command = {
  name: "logs",
  summary: "show what an app's processes write, and what comes",
  flags: {
    filter: { type: "string", summary: "lines that hold this text" },
    "no-follow": { type: "boolean", summary: "end with what there is" },
    service: { type: "string", short: "s", summary: "of this service" },
    since: { type: "string", summary: "how far back, such as 90s or 1h30m; 2m when left out" },
    tail: { type: "string", summary: "so many lines of each process" },
  },
  examples: ["davit logs -a shop", "davit logs -a shop -s web --since 1h --no-follow"],
  async run(input, context) {
    const tail = input.text("tail") === undefined ? undefined : await numberFlag(input, "tail", 1);
    const log = (await context.rack()).running.logs(await context.appName(), {
      ...{ service: input.text("service"), filter: input.text("filter"), tail, signal: context.signal },
      follow: !input.on("no-follow"),
      since: milliseconds(input.text("since") ?? "2m"),
    });
    for await (const chunk of log) {
      context.signal.throwIfAborted();
      await context.stdout.write(chunk);
    }
  },
};
