import { DavitError } from "../errors.ts";
import type { Command, Context } from "./command.ts";
import { rackOptions } from "./context.ts";
import { confirm, step } from "./show.ts";

export const racksRemove: Command = {
  name: "racks remove",
  args: "<name>",
  summary: "delete an embedded rack with everything in it, or forget the address of another",
  flags: { force: { type: "boolean", summary: "leave what runs of it as it is, for no rack to end" } },
  examples: ["davit racks remove west --yes"],
  async run(input, context) {
    const [name = ""] = input.args;
    const { Home, noRack } = await import("../rack/home.ts");
    const home = new Home(context.env);
    if ((await home.rackUrl(name)) !== undefined)
      return await step(context.stdout, `Forgetting rack ${name}`, () => home.removeRemote(name));
    if (!home.hasRack(name)) throw noRack(name);
    if (!input.on("force")) await refuseWhatRuns(name, context);
    await confirm(input, context, `Delete rack ${name} with all its apps and builds`);
    await step(context.stdout, `Removing rack ${name}`, () => home.removeRack(name));
  },
};

/**
 * Throws `conflict` where the rack's apps or its router run: once its records are gone, nothing
 * could end them. A rack that does not open may be removed.
 */
async function refuseWhatRuns(name: string, context: Context): Promise<void> {
  const { EmbeddedRack } = await import("../rack/embedded.ts");
  const opened = await EmbeddedRack.open(name, rackOptions(context.env)).catch(() => undefined);
  if (!opened) return;
  await using rack = opened;
  const { parameters } = await rack.system();
  if (parameters["Runtime"] !== "swarm") return;
  const app = (await rack.apps()).find(({ release }) => release !== "");
  if (app) throw stillRuns(name, `app ${app.name}`, `davit apps delete ${app.name} -r ${name} --yes`);
  if (parameters["RouterDomain"])
    throw stillRuns(name, "its router", `davit rack params set RouterDomain= -r ${name}`);
}

function stillRuns(rack: string, what: string, command: string): DavitError {
  return new DavitError("conflict", `Cannot remove rack ${rack}: ${what} still runs`, {
    hint: `\`${command}\` ends that`,
  });
}
