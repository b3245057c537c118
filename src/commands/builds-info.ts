import type { Build } from "../rack/rack.ts";
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
    if (build.steps?.length) rows.push(["Steps", stepLines(build.steps)]);
    context.stdout.print(fields(rows, context.stdout.paint));
  },
};

/** What was cached, and why the rest was not; services are named where there are several. */
function stepLines(steps: NonNullable<Build["steps"]>): string {
  const several = new Set(steps.map(({ service }) => service)).size > 1;
  const lines = steps.map(({ service, name, cached, seconds, cause }) => {
    const time = cached ? "CACHED" : `${seconds.toFixed(1)}s`;
    return `${time.padEnd(6)}  ${several ? `${service}: ` : ""}${name}${cause ? `  (${cause})` : ""}`;
  });
  return lines.join("\n");
}
