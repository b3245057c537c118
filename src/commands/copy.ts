import { type Place, parsePlace } from "../bundle/place.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ReadStore, Store } from "../oci/store.ts";
import type { Command, Context, Input } from "./command.ts";
import { json } from "./show.ts";
import { copyProgress, openRegistry, planFlag, registryFlags } from "./transfer.ts";

export const copyImage: Command = {
  name: "copy",
  args: "<source> <target>",
  summary: "copy an image or a build: registry, oci:DIR, archive:FILE, docker:IMAGE, any to any",
  flags: {
    "no-referrers": { type: "boolean", summary: "leave signatures, SBOMs and attestations behind" },
    ...registryFlags,
    ...planFlag,
  },
  examples: [
    "davit copy registry.example.com/web:1 other.example.com/web:1",
    "davit copy docker:web:1 registry.example.com/web:1",
    "davit copy archive:build.tar oci:images",
  ],
  async run(input, context) {
    const [from = "", to = ""] = input.args;
    const [source, target] = [parsePlace(from), parsePlace(to)];
    const digest = await run(source, target, input, context);
    context.progress.clear();
    if (digest === undefined) return;
    if (input.on("json")) json(context, { source: from, target: to, digest });
    else context.stdout.line(digest);
  },
};

async function run(
  source: Place,
  target: Place,
  input: Input,
  context: Context,
): Promise<string | undefined> {
  if (source.kind === "docker" || (source.kind === "archive" && !(await isReadable(source.path))))
    return await fromStream(source, target, input, context);
  const { store, root, name } = await openSource(source, input, context);
  if (input.on("plan")) {
    await plan(source, store, root, target, input, context);
    return undefined;
  }
  if (target.kind === "archive" || target.kind === "docker")
    await toArchive(store, root, name, target, input, context);
  else await toStore(source, { store, root, name }, target, input, context);
  return root.digest;
}

async function isReadable(path: string): Promise<boolean> {
  const { openAtRest } = await import("../bundle/open.ts");
  return (await openAtRest(path)) !== undefined;
}

async function openSource(source: Place, input: Input, context: Context) {
  if (source.kind === "registry") {
    const { reference } = source;
    const store = await openRegistry(reference, input, context);
    return {
      store,
      root: await store.resolve(reference.digest ?? reference.tag ?? "latest"),
      name: reference.tag,
    };
  }
  if (source.kind === "docker") throw new DavitError("unsupported", "Cannot read the engine in place");
  const { findRoot, openAtRest } = await import("../bundle/open.ts");
  const opened = await openAtRest(source.path);
  if (!opened) throw new DavitError("bad-archive", `Cannot read ${source.path} in place`);
  const root = await findRoot(opened, source.name);
  const { tagOf } = await import("../oci/names.ts");
  const names = opened.roots.find(({ descriptor }) => descriptor.digest === root.digest)?.names ?? [];
  return { store: opened.store, root, name: source.name ?? names.flatMap((text) => tagOf(text) ?? [])[0] };
}

/** What the target knows the image by, when nothing else is said. */
function targetName(target: Place, name: string | undefined): string | undefined {
  if (target.kind === "registry") return target.named ? target.reference.tag : (name ?? target.reference.tag);
  return target.kind === "docker" ? undefined : (target.name ?? name);
}

/** Blobs of the same host are mounted, not sent. */
async function openTarget(target: Place, source: Place, input: Input, context: Context): Promise<Store> {
  if (target.kind === "registry") {
    const mountFrom =
      source.kind === "registry" && source.reference.host === target.reference.host
        ? [source.reference.repository]
        : [];
    return await openRegistry(target.reference, input, context, { push: true, mountFrom });
  }
  if (target.kind !== "layout") throw new DavitError("unsupported", "Cannot write there piece by piece");
  const { LayoutStore } = await import("../oci/layout-store.ts");
  return new LayoutStore(target.path);
}

async function toStore(
  source: Place,
  from: { store: ReadStore; root: Descriptor; name: string | undefined },
  target: Place,
  input: Input,
  context: Context,
): Promise<void> {
  const { copy } = await import("../oci/copy.ts");
  const name = targetName(target, from.name);
  const store = await openTarget(target, source, input, context);
  await copy(from.store, from.root, store, {
    ...(name === undefined ? {} : { as: name }),
    referrers: !input.on("no-referrers"),
    on: copyProgress("Copying", context),
  });
}

async function toArchive(
  store: ReadStore,
  root: Descriptor,
  name: string | undefined,
  target: Place & { kind: "archive" | "docker" },
  input: Input,
  context: Context,
): Promise<void> {
  const { planRoot } = await import("../bundle/roots.ts");
  const referrers = !input.on("no-referrers") && target.kind === "archive";
  if (target.kind === "archive") {
    const { writeArchiveFile } = await import("../bundle/archive-file.ts");
    const image = "docker.io/library/image";
    const made = await planRoot(store, root, { tag: target.name ?? name, image, referrers });
    return await writeArchiveFile(target.path, made, copyProgress("Copying", context));
  }
  const [{ streamPlan }, { EngineImages }, { EngineClient }] = await Promise.all([
    import("../bundle/archive-plan.ts"),
    import("../docker-api/images.ts"),
    import("../docker-api/client.ts"),
  ]);
  const colon = target.image.lastIndexOf(":");
  const [image, tag] =
    colon > target.image.lastIndexOf("/")
      ? [target.image.slice(0, colon), target.image.slice(colon + 1)]
      : [target.image, "latest"];
  const made = await planRoot(store, root, { tag, image, referrers });
  await new EngineImages(await EngineClient.fromEnv(context.env)).load(streamPlan(made));
}

/** The engine's images, and archives that cannot be read in place: brought in piece by piece as they come. */
async function fromStream(
  source: Place,
  target: Place,
  input: Input,
  context: Context,
): Promise<string | undefined> {
  if (input.on("plan"))
    throw new DavitError(
      "usage",
      "Cannot plan a copy from a stream: nothing of it is known before it is read",
    );
  const { loadStream, openStream } = await import("./copy-stream.ts");
  const stream = await openStream(source, context);
  if (target.kind === "docker") return await loadStream(stream, source, context);
  if (target.kind !== "archive")
    return await ingestInto(
      await openTarget(target, source, input, context),
      stream,
      source,
      target,
      context,
    );
  const { ArchiveFileStore } = await import("../oci/archive-file-store.ts");
  const store = await ArchiveFileStore.create(target.path);
  try {
    const digest = await ingestInto(store, stream, source, target, context);
    await store.finish();
    return digest;
  } catch (error) {
    await store.abort();
    throw error;
  }
}

async function ingestInto(
  store: Store,
  stream: ByteStream,
  source: Place,
  target: Place,
  context: Context,
): Promise<string> {
  const { ingestArchive, theOneRoot } = await import("../bundle/ingest.ts");
  const archive = await ingestArchive(stream, store, {
    onWarning: (text) => context.stderr.line(`warning: ${text}`),
  });
  const root = theOneRoot(archive, () => false);
  const name = targetName(target, source.kind === "docker" ? "latest" : undefined) ?? "latest";
  await store.tag(root, name);
  return root.digest;
}

async function plan(
  source: Place,
  store: ReadStore,
  root: Descriptor,
  target: Place,
  input: Input,
  context: Context,
): Promise<void> {
  const [{ planCopy }, { showCopyPlan }, { MemoryStore }] = await Promise.all([
    import("../oci/plan.ts"),
    import("./plans.ts"),
    import("../oci/memory-store.ts"),
  ]);
  const there =
    target.kind === "registry" || target.kind === "layout"
      ? await openTarget(target, source, input, context)
      : new MemoryStore();
  const sameHost =
    source.kind === "registry" &&
    target.kind === "registry" &&
    source.reference.host === target.reference.host;
  showCopyPlan(await planCopy(store, [root], there, sameHost ? [store] : []), input, context);
}
