import { collect, decode } from "../bytes.ts";
import { decompressed } from "../compression.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { Digester, isDigest } from "../oci/digest.ts";
import { type ImageManifest, MAX_MANIFEST } from "../oci/manifest.ts";
import type { ReadStore } from "../oci/store.ts";
import { checkJson, Type } from "../schema.ts";
import type { ContentLedger } from "./content-ledger.ts";

const Config = Type.Object({ rootfs: Type.Object({ diff_ids: Type.Array(Type.String()) }) });

/**
 * Makes sure that an image's layers are those that its config names. An engine believes the
 * config, and takes what it has under such a name from any other image. What was hashed once
 * is remembered.
 */
export async function requireOwnLayers(
  store: ReadStore,
  { config, layers }: ImageManifest,
  content: ContentLedger,
): Promise<void> {
  const text = decode(await collect(await store.fetch(config), MAX_MANIFEST, "the image's config"));
  const named = checkJson(Config, text, "the image's config").rootfs.diff_ids;
  if (named.length !== layers.length) throw foreign(config);
  for (const [i, layer] of layers.entries()) {
    const diffId = named[i] ?? "";
    if ((await content.layers(diffId)).some(({ digest }) => digest === layer.digest)) continue;
    if (!isDigest(diffId) || (await diffIdOf(store, layer)) !== diffId) throw foreign(config);
    await content.rememberLayer(diffId, layer);
  }
}

/** The digest of a layer's bytes, decompressed. */
async function diffIdOf(store: ReadStore, layer: Descriptor): Promise<string> {
  const digester = new Digester();
  for await (const chunk of decompressed(await store.fetch(layer))) digester.update(chunk);
  return digester.digest();
}

function foreign({ digest }: Descriptor): DavitError {
  return new DavitError(
    "invalid",
    `Cannot run image ${digest}: its layers are not those that its config names`,
  );
}
