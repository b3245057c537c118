import { isDirectory, registryPlace } from "../bundle/place.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { RegistryStore } from "../oci/registry-store.ts";
import type { Command, Context, Input } from "./command.ts";
import { json } from "./show.ts";
import { copyProgress, openRegistry, planFlag, registryFlags } from "./transfer.ts";

export const pull: Command = {
  name: "pull",
  args: "<image>",
  summary: "pull an image or a build out of a registry, into an archive or a layout directory",
  flags: {
    output: { type: "string", short: "o", summary: "a file, - for stdout, or a directory (name ends in /)" },
    "no-referrers": { type: "boolean", summary: "leave signatures, SBOMs and attestations behind" },
    ...registryFlags,
    ...planFlag,
  },
  examples: [
    "davit pull registry.example.com/web:1 -o web.tar",
    "davit pull registry.example.com/web:1 -o - | docker load",
    "davit pull registry.example.com/web:1 -o images/",
  ],
  async run(input, context) {
    const [image = ""] = input.args;
    const output = input.text("output");
    if (output === undefined && !input.on("plan"))
      throw new DavitError("usage", "Cannot pull: say where to with -o", {
        hint: "-o FILE, -o DIR/ or -o -",
      });
    if (output === "-" && context.stdout.isTerminal)
      throw new DavitError("usage", "Cannot write an archive to a terminal", {
        hint: "pipe this command, or name a file",
      });
    const { reference } = registryPlace(image);
    const store = await openRegistry(reference, input, context);
    const root = await store.resolve(reference.digest ?? reference.tag ?? "latest");
    if (input.on("plan")) return await showPlan(store, root, output, input, context);
    if (output !== undefined && output !== "-" && isDirectory(output))
      await toDirectory(store, root, reference.tag, output, input, context);
    else await toArchive(store, root, reference, output ?? "-", input, context);
    context.progress.clear();
    if (output === "-") return;
    if (input.on("json")) json(context, { image, ...root });
    else context.stdout.line(root.digest);
  },
};

async function showPlan(
  store: RegistryStore,
  root: Descriptor,
  output: string | undefined,
  input: Input,
  context: Context,
): Promise<void> {
  const [{ planCopy }, { showCopyPlan }, { LayoutStore }, { MemoryStore }] = await Promise.all([
    import("../oci/plan.ts"),
    import("./plans.ts"),
    import("../oci/layout-store.ts"),
    import("../oci/memory-store.ts"),
  ]);
  const target =
    output !== undefined && output !== "-" && isDirectory(output)
      ? new LayoutStore(output)
      : new MemoryStore();
  showCopyPlan(await planCopy(store, [root], target), input, context);
}

async function toDirectory(
  store: RegistryStore,
  root: Descriptor,
  tag: string | undefined,
  dir: string,
  input: Input,
  context: Context,
): Promise<void> {
  const [{ copy }, { LayoutStore }] = await Promise.all([
    import("../oci/copy.ts"),
    import("../oci/layout-store.ts"),
  ]);
  const on = copyProgress("Pulling", context);
  const referrers = !input.on("no-referrers");
  await copy(store, root, new LayoutStore(dir), { as: tag ?? root.digest, referrers, on });
}

async function toArchive(
  store: RegistryStore,
  root: Descriptor,
  { host, repository, tag }: { host: string; repository: string; tag: string | undefined },
  output: string,
  input: Input,
  context: Context,
): Promise<void> {
  const [{ planRoot }, { writeArchiveFile }, { streamPlan }] = await Promise.all([
    import("../bundle/roots.ts"),
    import("../bundle/archive-file.ts"),
    import("../bundle/archive-plan.ts"),
  ]);
  const referrers = !input.on("no-referrers");
  const plan = await planRoot(store, root, { tag, image: `${host}/${repository}`, referrers });
  const on = { ...copyProgress("Pulling", context) };
  if (output !== "-") return await writeArchiveFile(output, plan, on);
  let done = 0;
  for await (const chunk of streamPlan(plan)) {
    await context.stdout.write(chunk);
    done += chunk.byteLength;
    context.progress.show({ what: "Pulling", done, total: plan.size });
  }
}
