import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { openRack } from "./context.ts";
import { ensureApp } from "./ensure-app.ts";
import { json, step } from "./show.ts";
import { planFlag } from "./transfer.ts";

export const buildsCopy: Command = {
  name: "builds copy",
  args: "<id>",
  summary: "copy a build to another rack, moving only what it lacks",
  flags: {
    to: { type: "string", summary: "the other rack" },
    "to-app": { type: "string", summary: "the app there, else the same" },
    id: { type: "boolean", summary: "print only the release id; the rest goes to stderr" },
    ...planFlag,
  },
  examples: ["davit builds copy BABCDEFGHIJ -r east --to west"],
  async run(input, context) {
    const to = input.text("to");
    if (to === undefined)
      throw new DavitError("usage", "Cannot copy a build: name the other rack with --to", {
        hint: "see `davit racks`",
      });
    const app = await context.appName();
    const there = input.text("to-app") ?? app;
    const [id = ""] = input.args;
    const east = await context.rack();
    await using west = await openRack(to, { ...context.env, RACK_URL: undefined });
    if (input.on("plan")) {
      const { planRegistryImport } = await import("./plans.ts");
      const have = new Set(await west.blobs(there).catch(() => []));
      return await east.readBuild(app, id, ({ store, index }) =>
        planRegistryImport(store, index, have, input, context),
      );
    }
    await ensureApp(west, there, context);
    const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
    const options = {
      signal: context.signal,
      onWarning: (text: string) => context.stderr.line(`warning: ${text}`),
      onProgress: (progress: { what: string; done: number }) => context.progress.show(progress),
    };
    const build = await step(
      out,
      `Copying build ${id} to ${to}`,
      () => east.readBuild(app, id, ({ store, index }) => west.importFrom(there, store, index, options)),
      ({ release }) => release,
    );
    context.progress.clear();
    if (input.on("id")) context.stdout.print(build.release);
    else if (input.on("json")) json(context, build);
  },
};
