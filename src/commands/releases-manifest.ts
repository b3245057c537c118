import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";

export const releasesManifest: Command = {
  name: "releases manifest",
  args: "<id>",
  summary: "show the convox.yml of a release",
  examples: ["davit releases manifest RABCDEFGHIJ -a shop"],
  async run(input, context) {
    const rack = await context.rack();
    const app = await context.appName();
    const release = await rack.release(app, input.args[0] ?? "");
    if (release.build === "") throw new DavitError("not-found", `no build for release: ${release.id}`);
    context.stdout.data(`${(await rack.build(app, release.build)).manifest.trim()}\n`);
  },
};
