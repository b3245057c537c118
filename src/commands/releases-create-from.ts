import { DavitError } from "../errors.ts";
import type { Command, Input } from "./command.ts";
import { promote } from "./promote.ts";
import { json } from "./show.ts";

export const releasesCreateFrom: Command = {
  name: "releases create-from",
  summary: "make a release of one release's build and another's env",
  flags: {
    "build-from": { type: "string", summary: "the release whose build it gets" },
    "use-active-release-build": { type: "boolean", summary: "it gets the active release's build" },
    "env-from": { type: "string", summary: "the release whose env it gets" },
    "use-active-release-env": { type: "boolean", summary: "it gets the active release's env" },
    promote: { type: "boolean", short: "p", summary: "make it active" },
  },
  examples: ["davit releases create-from --build-from RABCDEFGHIJ --use-active-release-env -a shop"],
  async run(input, context) {
    const rack = await context.rack();
    const name = await context.appName();
    const app = await rack.app(name);
    const [buildFrom, envFrom] = [chosen(input, "build", app.release), chosen(input, "env", app.release)];
    const [built, set] = [await rack.release(name, buildFrom), await rack.release(name, envFrom)];
    const out = input.on("json") ? context.stderr : context.stdout;
    out.line(`Using build from release: ${buildFrom}`);
    out.line(`Using env from release: ${envFrom}`);
    const description = `Created from build release: ${buildFrom} and environment release: ${envFrom}`;
    const release = await rack.createRelease(name, { build: built.build, env: set.env, description });
    out.line(`Created release: ${release.id}`);
    if (input.on("promote")) await promote(rack, name, release.id, out, context);
    if (input.on("json")) json(context, release);
  },
};

function chosen(input: Input, what: "build" | "env", active: string): string {
  const [from, useActive] = [input.text(`${what}-from`), input.on(`use-active-release-${what}`)];
  if ((from === undefined) === !useActive)
    throw new DavitError("usage", `must specify either --${what}-from or --use-active-release-${what}`);
  if (from !== undefined) return from;
  if (active === "")
    throw new DavitError("not-found", "the app has no active release", { hint: "promote one first" });
  return active;
}
