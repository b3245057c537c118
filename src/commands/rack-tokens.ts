import { DavitError } from "../errors.ts";
import { table } from "../terminal/table.ts";
import { ago } from "../terminal/time.ts";
import type { Command, Context, Input } from "./command.ts";
import { json, step } from "./show.ts";

const HEADER = ["ID", "NAME", "ROLE", "APPS", "MADE BY", "MADE", "EXPIRES", "USED"];

export const rackTokens: Command = {
  name: "rack tokens",
  args: "[revoke] [ID...]",
  summary: "list the rack's tokens, or revoke some",
  flags: {
    older: { type: "boolean", summary: "with revoke: all tokens of davits that did not list them" },
  },
  examples: ["davit rack tokens", "davit rack tokens revoke TABCDEFGHIJ", "davit rack tokens revoke --older"],
  async run(input, context) {
    const [verb, ...ids] = input.args;
    if (verb === undefined && !input.on("older")) return await list(input, context);
    if (verb === "revoke" && (ids.length > 0 || input.on("older"))) return await revoke(ids, input, context);
    throw new DavitError("usage", `Cannot run "rack tokens ${input.args.join(" ")}": name a token`, {
      hint: "give an id, `davit rack tokens revoke ID`, or --older",
    });
  },
};

async function list(input: Input, context: Context): Promise<void> {
  const tokens = await (await context.rack()).tokens();
  if (input.on("json")) return json(context, tokens);
  const now = context.now();
  const rows = tokens.map(({ id, name, role, apps, maker, created, expires, used }) => [
    ...[id, name, role, apps.join(","), maker, ago(created, now), ago(expires, now), ago(used, now)],
  ]);
  context.stdout.print(table(HEADER, rows, context.stdout.paint));
}

async function revoke(ids: string[], input: Input, context: Context): Promise<void> {
  const rack = await context.rack();
  for (const id of ids) await step(context.stdout, `Revoking ${id}`, () => rack.revokeToken(id));
  if (input.on("older")) await step(context.stdout, "Revoking older tokens", () => rack.revokeOlderTokens());
}
