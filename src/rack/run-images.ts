import { DavitError } from "../errors.ts";
import { readManifest } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { ReadStore } from "../oci/store.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { exportEmbedded, readEmbedded } from "./embedded-export.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";

/** The ids of a build's images in the engine, by service. What the engine lacks it is given. */
export async function imagesInEngine(
  parts: EmbeddedParts,
  runtime: Runtime,
  app: string,
  build: string,
): Promise<Map<string, string>> {
  if (build === "") throw new DavitError("invalid", "the release has no build");
  const architecture = await runtime.architecture();
  const ids = await readEmbedded(parts, app, build, async ({ store, images }) => {
    const found = new Map<string, string>();
    for (const [service, image] of images) found.set(service, await configOf(store, image, architecture));
    return found;
  });
  const there = await Promise.all([...ids.values()].map((id) => runtime.findImage(id)));
  if (there.includes(undefined)) await runtime.load((await exportEmbedded(parts, app, [build], {})).stream);
  for (const [service, id] of ids)
    await runtime.nameImage(id, repositoryOf(parts, app), `${service}.${build}`);
  return ids;
}

/** As archives of the rack name its images. */
function repositoryOf({ name }: EmbeddedParts, app: string): string {
  return `${name}/${app}`;
}

/** Takes away the names of an app's other builds. What is not known here may be another rack's of that name. */
export async function forgetImages(
  parts: EmbeddedParts,
  runtime: Runtime,
  app: string,
  kept: readonly string[],
): Promise<void> {
  const repository = repositoryOf(parts, app);
  for (const tag of await runtime.tagsOf(repository)) {
    const build = tag.slice(tag.lastIndexOf(".") + 1);
    if (kept.includes(build)) continue;
    const ours = await parts.ledger.builds.find(app, build).catch(() => undefined);
    if (ours) await runtime.forgetName(repository, tag);
  }
}

/** A classic engine calls an image by the digest of its config. */
async function configOf(store: ReadStore, image: Descriptor, architecture: string): Promise<Digest> {
  const { manifest } = await readManifest(store, image);
  if (manifest.kind === "image") return manifest.config.digest;
  const own = manifest.manifests.find(({ platform }) => platform?.architecture === architecture);
  if (!own) throw new DavitError("unsupported", `the image has no part for ${architecture}`);
  return await configOf(store, own, architecture);
}
