import type { Bytes } from "../bytes.ts";
import type { EngineImages } from "../docker-api/images.ts";
import { DavitError } from "../errors.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { ingestDockerSave } from "../oci/docker-save.ts";
import { GzipPool } from "../oci/gzip-pool.ts";
import { makeManifest } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { contentOf } from "../oci/store.ts";
import type { ImageTarget } from "./engine.ts";

/**
 * Moves an engine's image into a store. The manifest is always made here, from
 * the engine's config and the rack's own blob for each layer, so an image that
 * did not change has the same manifest digest whichever way it came.
 */
export async function storeEngineImage(
  images: EngineImages,
  imageId: string,
  target: ImageTarget,
  signal: AbortSignal,
): Promise<Descriptor> {
  const { Id, RootFS } = await images.inspect(imageId);
  const diffIds = (RootFS?.Layers ?? []).filter(isDigest);
  const config = isDigest(Id) ? await target.blob(Id, mediaTypes.ociConfig) : undefined;
  const layers = await Promise.all(diffIds.map((diffId) => target.layer(diffId)));
  if (config && layers.every((layer) => layer !== undefined))
    return await putManifest(target, config, layers);
  return await saveImage(images, Id, target, signal);
}

async function saveImage(
  images: EngineImages,
  id: string,
  target: ImageTarget,
  signal: AbortSignal,
): Promise<Descriptor> {
  using gzip = new GzipPool();
  const [image] = await ingestDockerSave(await images.save([id], signal), target.store, {
    gzip,
    known: (diffId: Digest) => target.layer(diffId),
    stored: (diffId, layer) => target.remember(diffId, layer),
    onBytes: (bytes) => target.onBytes(bytes),
  });
  if (!image) throw new DavitError("engine", `Cannot read ${id} from the engine: its archive holds no image`);
  return await putImage(target, image.config, image.layers);
}

/** Stores config and manifest of an image whose layers are in the store. */
export async function putImage(
  target: ImageTarget,
  config: Bytes,
  layers: Descriptor[],
): Promise<Descriptor> {
  const descriptor = describe(mediaTypes.ociConfig, config);
  await target.store.push(descriptor, contentOf(config));
  return await putManifest(target, descriptor, layers);
}

async function putManifest(
  target: ImageTarget,
  config: Descriptor,
  layers: Descriptor[],
): Promise<Descriptor> {
  const { descriptor, bytes } = makeManifest(mediaTypes.ociManifest, { config, layers });
  await target.store.push(descriptor, contentOf(bytes));
  return descriptor;
}
