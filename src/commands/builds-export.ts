import { DavitError } from "../errors.ts";
import type { Bundle, ExportOptions } from "../rack/rack.ts";
import type { Command, Context, Input } from "./command.ts";
import { step } from "./show.ts";
import { planFlag, registryFlags } from "./transfer.ts";

export const buildsExport: Command = {
  name: "builds export",
  args: "<id...>",
  summary: "write builds as one archive, to stdout or a file, or into a registry",
  flags: {
    file: { type: "string", short: "f", summary: "write to this file" },
    format: { type: "string", summary: "bundle, or convox for what a Convox v3 rack imports" },
    since: { type: "string", summary: "leave out what this build, which the reader has, holds" },
    have: {
      type: "string",
      summary: "leave out the digests in this file, as `davit builds have` lists them",
    },
    split: { type: "string", summary: "write volumes of this size: F.001, F.002, … and F.sha256" },
    to: { type: "string", summary: "push to this repository in place of writing an archive" },
    ...registryFlags,
    ...planFlag,
  },
  examples: [
    "davit builds export BABCDEFGHIJ -f build.tar",
    "davit builds export BABCDEFGHIJ -r east | davit builds import -r west",
    "davit builds export BABCDEFGHIJ --to registry.example.com/shop",
  ],
  async run(input, context) {
    const to = input.text("to");
    if (to !== undefined) {
      const { exportToRegistry } = await import("./export-to-registry.ts");
      return await exportToRegistry(to, input, context);
    }
    const file = input.text("file");
    const toFile = file !== undefined && file !== "-";
    const split = input.text("split");
    if (split !== undefined && !toFile)
      throw new DavitError("usage", "Cannot split what goes to stdout", { hint: "name a file with --file" });
    if (!toFile && context.stdout.isTerminal && !input.on("plan"))
      throw new DavitError("usage", "Cannot export to a terminal", {
        hint: "pipe this command into a file or specify --file",
      });
    const rack = await context.rack();
    const bundle = await rack.exportBuilds(await context.appName(), input.args, await exportOptions(input));
    if (input.on("plan")) return await showPlan(bundle, input, context);
    if (!toFile) await step(context.stderr, "Exporting build", () => toStdout(bundle, context));
    else await step(context.stdout, "Exporting build", () => writeBundle(bundle, file, split, context));
  },
};

async function exportOptions(input: Input): Promise<ExportOptions> {
  const format = input.text("format") ?? "bundle";
  if (format !== "bundle" && format !== "convox")
    throw new DavitError("usage", `Cannot export as ${JSON.stringify(format)}: it is bundle or convox`);
  const since = input.text("since");
  const have = input.text("have");
  if (format === "convox" && (since !== undefined || have !== undefined))
    throw new DavitError("usage", "Cannot leave anything out of Convox's format");
  return {
    format,
    ...(since === undefined ? {} : { since }),
    ...(have === undefined ? {} : { have: await readDigests(have) }),
  };
}

async function readDigests(path: string): Promise<string[]> {
  const [{ readFile }, { parseDigest }, { systemError }] = await Promise.all([
    import("node:fs/promises"),
    import("../oci/digest.ts"),
    import("../errors.ts"),
  ]);
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw systemError(`Cannot read ${path}`, error);
  });
  return text
    .split(/\s+/)
    .filter((line) => line !== "")
    .map(parseDigest);
}

async function showPlan(bundle: Bundle, input: Input, context: Context): Promise<void> {
  const { showCopyPlan } = await import("./plans.ts");
  for await (const _ of bundle.stream) break;
  showCopyPlan({ move: bundle.size ?? 0, present: bundle.omitted, mountable: 0 }, input, context);
}

async function toStdout(bundle: Bundle, context: Context): Promise<void> {
  for await (const chunk of shown(bundle, context)) await context.stdout.write(chunk);
}

async function writeBundle(
  bundle: Bundle,
  file: string,
  split: string | undefined,
  context: Context,
): Promise<void> {
  if (split !== undefined) {
    const { parseSize, writeVolumes } = await import("../volumes.ts");
    await writeVolumes(file, shown(bundle, context), parseSize(split, "--split"));
    return;
  }
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
