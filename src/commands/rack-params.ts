import { DavitError } from "../errors.ts";
import { isSecretParam, REGISTRY } from "../rack/params.ts";
import type { Progress } from "../rack/rack.ts";
import { fields } from "../terminal/table.ts";
import type { Command, Context, Input } from "./command.ts";
import { namedValues } from "./named-values.ts";
import { json, step } from "./show.ts";

const MASK = "**********";

export const rackParams: Command = {
  name: "rack params",
  args: "[set] [NAME=VALUE...]",
  summary: "show the rack's parameters, or set some",
  flags: {
    reveal: { type: "boolean", summary: "show secret values too" },
    force: { type: "boolean", short: "f", summary: "taken for Convox's sake: nothing needs it here" },
  },
  examples: ["davit rack params", "davit rack params set BuildCache=Yes BuildCacheRetentionDays=60"],
  async run(input, context) {
    const [verb, ...changes] = input.args;
    if (verb === "set") return await set(changes, context);
    if (verb !== undefined)
      throw new DavitError("usage", `Cannot ${verb} parameters`, {
        hint: "`davit rack params set NAME=VALUE`",
      });
    await show(input, context);
  },
};

async function show(input: Input, context: Context): Promise<void> {
  const { parameters } = await (await context.rack()).system();
  const masked = !input.on("reveal");
  const shown = Object.entries(parameters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]): [string, string] => [name, masked && isSecretParam(name) ? MASK : value]);
  if (input.on("json")) return json(context, Object.fromEntries(shown));
  context.stdout.print(fields(shown, context.stdout.paint));
}

async function set(changes: string[], context: Context): Promise<void> {
  const parsed = namedValues(changes);
  const rack = await context.rack();
  await step(context.stdout, "Updating parameters", () => rack.setParams(parsed));
  const { signal, progress } = context;
  const onProgress = (done: Progress) => progress.show(done);
  if (Object.hasOwn(parsed, REGISTRY))
    await step(context.stdout, "Moving content", () =>
      rack.settle({ signal, onProgress }).finally(() => progress.clear()),
    );
}
