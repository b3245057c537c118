import { DavitError } from "../errors.ts";
import type { Bundle } from "../rack/rack.ts";
import type { Command, Context } from "./command.ts";
import { step } from "./show.ts";

export const buildsExport: Command = {
  name: "builds export",
  args: "<id>",
  summary: "write a build as one archive, to stdout or a file",
  flags: { file: { type: "string", short: "f", summary: "write to this file" } },
  examples: [
    "davit builds export BABCDEFGHIJ -f build.tar",
    "davit builds export BABCDEFGHIJ -r east | davit builds import -r west",
  ],
  async run(input, context) {
    const file = input.text("file");
    const toFile = file !== undefined && file !== "-";
    if (!toFile && context.stdout.isTerminal)
      throw new DavitError("usage", "Cannot export to a terminal", {
        hint: "pipe this command into a file or specify --file",
      });
    const rack = await context.rack();
    const bundle = await rack.exportBuild(await context.appName(), input.args[0] ?? "");
    if (!toFile) await step(context.stderr, "Exporting build", () => toStdout(bundle, context));
    else await step(context.stdout, "Exporting build", () => writeBundle(bundle, file, context));
  },
};

async function toStdout(bundle: Bundle, context: Context): Promise<void> {
  for await (const chunk of shown(bundle, context)) await context.stdout.write(chunk);
}

async function writeBundle(bundle: Bundle, file: string, context: Context): Promise<void> {
  const { writeFileStream } = await import("../write-file.ts");
  await writeFileStream(file, shown(bundle, context));
}

async function* shown({ stream, size }: Bundle, context: Context) {
  let done = 0;
  for await (const chunk of stream) {
    context.signal.throwIfAborted();
    yield chunk;
    done += chunk.byteLength;
    context.progress.show({ what: "Exporting", done, total: size });
  }
  context.progress.clear();
}
