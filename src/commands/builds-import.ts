import { abortable } from "../bytes.ts";
import type { Build, ImportOptions, Rack } from "../rack/rack.ts";
import type { Command, Context, Input } from "./command.ts";
import { ensureApp } from "./ensure-app.ts";
import { json, step } from "./show.ts";
import { openSource, type StreamSource } from "./source.ts";
import { openRegistry, planFlag, registryFlags } from "./transfer.ts";

export const buildsImport: Command = {
  name: "builds import",
  args: "[image]",
  summary:
    "read builds from an archive, on stdin or in a file, or from a registry, and make releases of them",
  flags: {
    file: { type: "string", short: "f", summary: "read this file" },
    id: { type: "boolean", summary: "print only the release id; the rest goes to stderr" },
    "idempotency-key": { type: "string", summary: "the same key again returns the first import's build" },
    "expect-digest": { type: "strings", summary: "refuse anything but a build with this content id" },
    ...registryFlags,
    ...planFlag,
  },
  examples: [
    "davit builds import -a shop -f build.tar",
    "davit builds import -a shop < build.tar",
    "davit builds import -a shop registry.example.com/shop:BABCDEFGHIJ",
  ],
  async run(input, context) {
    const app = await context.appName();
    const rack = await context.rack();
    const { parseDigest } = await import("../oci/digest.ts");
    const expect = input.texts("expect-digest").map(parseDigest);
    const [image] = input.args;
    if (input.on("plan")) return await showPlan(rack, app, image, input, context);
    const archive = image === undefined ? await openSource(input.text("file"), "import") : undefined;
    await ensureApp(rack, app, context);
    const key = input.text("idempotency-key");
    const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
    const options: ImportOptions = {
      ...handlers(context),
      ...(expect.length > 0 ? { expect } : {}),
      ...(key === undefined ? {} : { idempotencyKey: key }),
    };
    const work = archive
      ? fromArchive(rack, app, archive, options)
      : fromRegistry(rack, app, image ?? "", options);
    const builds = await step(
      out,
      "Importing build",
      () => work(input, context),
      (done) => done.map(({ release }) => release).join(", "),
    );
    show(builds, input, context);
  },
};

function fromArchive(rack: Rack, app: string, { stream, size }: StreamSource, options: ImportOptions) {
  return async (_: Input, context: Context): Promise<Build[]> => {
    const known = size === undefined ? {} : { size };
    return await rack.importBuilds(app, abortable(stream, context.signal), { ...options, ...known });
  };
}

function fromRegistry(rack: Rack, app: string, image: string, options: ImportOptions) {
  return async (input: Input, context: Context): Promise<Build[]> => {
    const { store, root } = await resolve(image, input, context);
    return [await rack.importFrom(app, store, root, options)];
  };
}

async function resolve(image: string, input: Input, context: Context) {
  const { registryPlace } = await import("../bundle/place.ts");
  const { reference } = registryPlace(image);
  const store = await openRegistry(reference, input, context);
  return { store, root: await store.resolve(reference.digest ?? reference.tag ?? "latest") };
}

/** What would move: of a registry's image what the app lacks, of an archive what it does not have already. */
async function showPlan(
  rack: Rack,
  app: string,
  image: string | undefined,
  input: Input,
  context: Context,
): Promise<void> {
  const { planArchiveImport, planRegistryImport } = await import("./plans.ts");
  const have = new Set(await rack.blobs(app).catch(() => []));
  if (image === undefined) {
    const { stream } = await openSource(input.text("file"), "import");
    return await planArchiveImport(stream, have, input, context);
  }
  const { store, root } = await resolve(image, input, context);
  await planRegistryImport(store, root, have, input, context);
}

function show(builds: Build[], input: Input, context: Context): void {
  const [only, another] = builds;
  if (input.on("id")) context.stdout.print(builds.map(({ release }) => release).join("\n"));
  else if (input.on("json")) json(context, another ? builds : only);
}

function handlers(context: Context) {
  return {
    signal: context.signal,
    onWarning: (text: string) => context.stderr.line(`warning: ${text}`),
    onProgress: (progress: { what: string; done: number; total?: number }) => context.progress.show(progress),
  };
}
