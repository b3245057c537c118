import { registryPlace } from "../bundle/place.ts";
import { abortable } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { RegistryStore } from "../oci/registry-store.ts";
import type { Command, Context, Input } from "./command.ts";
import { json } from "./show.ts";
import { openSource } from "./source.ts";
import { copyProgress, openRegistry, planFlag, registryFlags } from "./transfer.ts";

interface Pushed {
  tag: string;
  digest: string;
}

export const push: Command = {
  name: "push",
  args: "<archive> <image>",
  summary: "push an archive, a layout directory, or an archive on stdin (-) into a registry",
  flags: {
    "mount-from": { type: "strings", summary: "a repository of that host which may have the blobs" },
    ...registryFlags,
    ...planFlag,
  },
  examples: [
    "davit push build.tar registry.example.com/shop",
    "davit builds export BABCDEFGHIJ | davit push - registry.example.com/shop:v1",
    "docker save web:1 | davit push - registry.example.com/web",
  ],
  async run(input, context) {
    const [file = "", image = ""] = input.args;
    const { reference, named } = registryPlace(image);
    if (reference.digest !== undefined)
      throw new DavitError("usage", `Cannot push to ${image}: a digest cannot be chosen`, {
        hint: "name a tag, or none",
      });
    const store = await openRegistry(reference, input, context, {
      push: true,
      mountFrom: input.texts("mount-from"),
    });
    const tag = named ? reference.tag : undefined;
    const { openAtRest } = await import("../bundle/open.ts");
    const opened = file === "-" ? undefined : await openAtRest(file);
    if (input.on("plan")) return await showPlan(file, store, input, context);
    const pushed = opened
      ? await pushAtRest(opened, store, tag, context)
      : await pushStream(file, store, tag, context);
    context.progress.clear();
    report(pushed, `${reference.host}/${reference.repository}`, input, context);
  },
};

function report(pushed: Pushed[], repository: string, input: Input, context: Context): void {
  if (input.on("json"))
    return void json(
      context,
      pushed.map((one) => ({ repository, ...one })),
    );
  for (const { tag, digest } of pushed)
    context.stdout.line(`${repository}${tag === "" ? "" : `:${tag}`}@${digest}`);
}

async function showPlan(file: string, store: RegistryStore, input: Input, context: Context): Promise<void> {
  const [{ openAtRest }, { planCopy }, { showCopyPlan }] = await Promise.all([
    import("../bundle/open.ts"),
    import("../oci/plan.ts"),
    import("./plans.ts"),
  ]);
  const opened = file === "-" ? undefined : await openAtRest(file);
  if (!opened)
    throw new DavitError(
      "usage",
      "Cannot plan a push from a stream: nothing of it is known before it is read",
      {
        hint: "give a file or a directory that holds an OCI layout",
      },
    );
  const others = await Promise.all(input.texts("mount-from").map((name) => store.sibling(name)));
  const roots = opened.roots.map(({ descriptor }) => descriptor);
  showCopyPlan(await planCopy(opened.store, roots, store, others), input, context);
}

type AtRest = NonNullable<Awaited<ReturnType<typeof import("../bundle/open.ts").openAtRest>>>;

async function pushAtRest(
  opened: AtRest,
  store: RegistryStore,
  tag: string | undefined,
  context: Context,
): Promise<Pushed[]> {
  const [{ findRoot }, { copy }, { tagOf }] = await Promise.all([
    import("../bundle/open.ts"),
    import("../oci/copy.ts"),
    import("../oci/names.ts"),
  ]);
  const on = copyProgress("Pushing", context);
  const wanted =
    tag === undefined ? opened.roots : [{ descriptor: await findRoot(opened, undefined), names: [tag] }];
  const done: Pushed[] = [];
  for (const { descriptor, names } of wanted) {
    const tags = names.flatMap((name) => tagOf(name) ?? []);
    await copy(opened.store, descriptor, store, { referrers: true, on });
    for (const name of tags) await store.tag(descriptor, name);
    if (tags.length === 0 && wanted.length > 1) continue;
    done.push(...(tags.length > 0 ? tags : [""]).map((name) => ({ tag: name, digest: descriptor.digest })));
  }
  return done;
}

async function pushStream(
  file: string,
  store: RegistryStore,
  tag: string | undefined,
  context: Context,
): Promise<Pushed[]> {
  const [{ ingestArchive, theOneRoot }, { tagOf }, { isBuildIndex }] = await Promise.all([
    import("../bundle/ingest.ts"),
    import("../oci/names.ts"),
    import("../bundle/record.ts"),
  ]);
  const { stream, size } = await openSource(file, "push");
  let done = 0;
  const archive = await ingestArchive(abortable(stream, context.signal), store, {
    onWarning: (text) => context.stderr.line(`warning: ${text}`),
    onBytes: (bytes) => {
      done += bytes;
      context.progress.show({ what: "Pushing", done, total: size });
    },
  });
  const isBuild = ({ digest }: Descriptor) => {
    const manifest = archive.layout?.manifests.get(digest)?.manifest;
    return manifest !== undefined && isBuildIndex(manifest);
  };
  const roots =
    tag === undefined ? archive.roots : [{ descriptor: theOneRoot(archive, isBuild), names: [tag] }];
  const pushed: Pushed[] = [];
  for (const { descriptor, names } of roots)
    for (const name of names.flatMap((text) => tagOf(text) ?? [])) {
      await store.tag(descriptor, name);
      pushed.push({ tag: name, digest: descriptor.digest });
    }
  return pushed.length > 0
    ? pushed
    : roots.slice(0, 1).map(({ descriptor }) => ({ tag: "", digest: descriptor.digest }));
}
