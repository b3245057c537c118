import type { Command, Context, Input } from "./command.ts";
import { openRack, rackOptions } from "./context.ts";
import { step } from "./show.ts";

export const racksAdd: Command = {
  name: "racks add",
  args: "<name> [url]",
  summary: "remember a rack by its address, or make another embedded one",
  flags: {
    "password-stdin": { type: "boolean", summary: "read the rack's password from stdin" },
  },
  examples: ["davit racks add west", "davit racks add east https://rack.example.com --password-stdin"],
  async run(input, context) {
    const [name = "", url] = input.args;
    if (url !== undefined) return await addRemote(name, url, input, context);
    const { EmbeddedRack } = await import("../rack/embedded.ts");
    await step(context.stdout, `Adding rack ${name}`, async () => {
      await using _ = await EmbeddedRack.create(name, rackOptions(context.env));
    });
  },
};

/** Adds a rack that answers; one that does not is not remembered. */
async function addRemote(name: string, url: string, input: Input, context: Context): Promise<void> {
  const [{ Home }, { checkName }, { parseRackUrl }, { DavitError }, { passwordFrom }] = await Promise.all([
    import("../rack/home.ts"),
    import("../rack/ids.ts"),
    import("../rack/rack-client.ts"),
    import("../errors.ts"),
    import("./serve.ts"),
  ]);
  const checked = checkName("rack", name);
  const address = parseRackUrl(name, url);
  const password = (await passwordFrom(input)) ?? decodeURIComponent(address.password);
  const home = new Home(context.env);
  if (home.hasRack(name) || (await home.rackUrl(name)) !== undefined)
    throw new DavitError("exists", `rack already exists: ${name}`);
  address.url.username = address.username || "davit";
  address.url.password = encodeURIComponent(password);
  const whole = address.url.href;
  await step(context.stdout, `Adding rack ${name}`, async () => {
    const note = (text: string) => context.stderr.line(text);
    await using rack = await openRack(name, { ...context.env, RACK_URL: whole }, note);
    await rack.system();
    await home.addRemote(checked, whole);
  });
}
