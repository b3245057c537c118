import type { RegistryAuth } from "../docker-api/images.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ImageManifest } from "../oci/manifest.ts";
import { parseReference } from "../oci/reference.ts";
import { contentOf, type ReadStore } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import type { RunningApp, RunningService, Runtime } from "../runtime/runtime.ts";
import { exportEmbedded, readEmbedded } from "./embedded-export.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { requireOwnLayers } from "./own-layers.ts";
import { REGISTRY, REGISTRY_HOST } from "./params.ts";
import { pullLogin } from "./pull-login.ts";

type RunImage = Pick<RunningService, "image" | "login">;

/** What a build's services run: images by service, and ours where there are more nodes than this one. */
export interface RunImages {
  images: Map<string, RunImage>;
  inside?: RunningApp["inside"];
}

export async function imagesToRun(
  parts: EmbeddedParts,
  runtime: Runtime,
  app: string,
  build: string,
): Promise<RunImages> {
  if (build === "") throw new DavitError("invalid", "the release has no build");
  const registry = await registryForNodes(parts, runtime, app);
  if (!registry) return { images: await imagesInEngine(parts, runtime, app, build) };
  const named = ({ digest }: Descriptor): RunImage => ({
    image: `${registry.repository}@${digest}`,
    login: registry.login,
  });
  const images = await readEmbedded(parts, app, build, async (source) => source.images);
  return {
    images: new Map([...images].map(([service, image]) => [service, named(image)])),
    inside: named(await storeInside(parts, app)),
  };
}

/** Where all nodes can pull an app's images; undefined where the engine's own will do. */
async function registryForNodes(
  parts: EmbeddedParts,
  runtime: Runtime,
  app: string,
): Promise<{ repository: string; login: RegistryAuth | undefined } | undefined> {
  const { settings, logins } = parts;
  const [host, prefix] = [await settings.param(REGISTRY_HOST), await settings.param(REGISTRY)];
  if (host !== "") return { repository: `${host}/${app}`, login: await pullLogin(parts, app, host) };
  const nodes = await runtime.countNodes();
  if (nodes < 2) return undefined;
  if (prefix === "")
    throw new DavitError(
      "unsupported",
      `the Swarm has ${nodes} nodes, and the rack no name they could pull from`,
      {
        hint: `\`davit rack params set ${REGISTRY_HOST}=HOST:PORT\`, where \`davit rack start\` serves this rack`,
      },
    );
  const { host: serveraddress } = parseReference(`${prefix}/${app}`);
  const login = await logins.forRack(serveraddress);
  return { repository: `${prefix}/${app}`, login: login && { ...login, serveraddress } };
}

/** Our programs' image, beside the app's own. */
async function storeInside(parts: EmbeddedParts, app: string): Promise<Descriptor> {
  const { insideImage } = await import("../runtime/inside/image.ts");
  const { index, below } = await insideImage();
  await parts.store(app).lease(async (store) => {
    for (const { descriptor, bytes } of [...below, index]) await store.push(descriptor, contentOf(bytes));
    await store.tag(index.descriptor, "davit-inside");
  });
  return index.descriptor;
}

/** The ids of a build's images in the engine, by service. What the engine lacks it is given. */
async function imagesInEngine(
  parts: EmbeddedParts,
  runtime: Runtime,
  app: string,
  build: string,
): Promise<Map<string, RunImage>> {
  const architecture = await runtime.architecture();
  const ids = await readEmbedded(parts, app, build, async ({ store, images }) => {
    const found = new Map<string, string>();
    for (const [service, image] of images) {
      const manifest = await manifestFor(store, image, architecture);
      await requireOwnLayers(store, manifest, parts.ledger.content);
      // A classic engine calls an image by the digest of its config.
      found.set(service, manifest.config.digest);
    }
    return found;
  });
  const there = await Promise.all([...ids.values()].map((id) => runtime.findImage(id)));
  if (there.includes(undefined)) await runtime.load((await exportEmbedded(parts, app, [build], {})).stream);
  for (const [service, id] of ids)
    await runtime.nameImage(id, repositoryOf(parts, app), `${service}.${build}`);
  return new Map([...ids].map(([service, image]) => [service, { image }]));
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

/** The image of an architecture. */
async function manifestFor(
  store: ReadStore,
  image: Descriptor,
  architecture: string,
): Promise<ImageManifest> {
  const { manifest } = await readManifest(store, image);
  if (manifest.kind === "image") return manifest;
  const own = manifest.manifests.find(({ platform }) => platform?.architecture === architecture);
  if (!own) throw new DavitError("unsupported", `the image has no part for ${architecture}`);
  return await manifestFor(store, own, architecture);
}
