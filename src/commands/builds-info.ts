import { fields } from "../terminal/table.ts";
import { ago, elapsed } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const buildsInfo: Command = {
  name: "builds info",
  args: "<id>",
  summary: "show a build",
  examples: ["davit builds info BABCDEFGHIJ -a shop"],
  async run(input, context) {
    const build = await (await context.rack()).build(await context.appName(), input.args[0] ?? "");
    if (input.on("json")) return json(context, build);
    const images = Object.entries(build.images ?? {}).map(([service, digest]) => `${service} ${digest}`);
    const rows: [string, string][] = [
      ["Id", build.id],
      ["Status", build.status],
      ["Release", build.release],
      ["Description", build.description],
      ["Started", ago(build.started, context.now())],
      ["Elapsed", elapsed(build.started, build.ended)],
    ];
    if (build.reason) rows.push(["Reason", build.reason]);
    if (build.digest) rows.push(["Digest", build.digest]);
    if (build.store) rows.push(["Store", build.store]);
    if (images.length > 0) rows.push(["Images", images.join("\n")]);
    context.stdout.print(fields(rows, context.stdout.paint));
  },
};
