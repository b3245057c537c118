import { type Bytes, collect, streamOf } from "../../bytes.ts";
import { type Descriptor, describe } from "../../oci/descriptor.ts";
import { makeManifest } from "../../oci/manifest.ts";
import { mediaTypes } from "../../oci/media-types.ts";
import { writeTar } from "../../tar/write.ts";
import { PROGRAMS } from "./programs.ts";
import { INSIDE } from "./volume.ts";

interface Made {
  descriptor: Descriptor;
  bytes: Bytes;
}

/**
 * Our programs as an image, for nodes that davit does not reach: an engine fills a new
 * volume from the image that is mounted over. Each time the same bytes, for all processors.
 */
export async function insideImage(): Promise<{ index: Made; below: Made[] }> {
  const images = await Promise.all(Object.entries(PROGRAMS).map(([name, of]) => imageFor(name, of)));
  const manifests = images.map(({ architecture, manifest }) => ({
    ...manifest.descriptor,
    platform: { architecture, os: "linux" },
  }));
  return {
    index: makeManifest(mediaTypes.ociIndex, { manifests }),
    below: images.flatMap(({ layer, config, manifest }) => [layer, config, manifest]),
  };
}

async function imageFor(architecture: string, programs: Record<string, string>) {
  const layer = made(
    mediaTypes.ociLayer,
    await collect(writeTar(members(programs)), 1024 * 1024, "our programs"),
  );
  const diff_ids = [layer.descriptor.digest];
  const config = made(
    mediaTypes.ociConfig,
    new TextEncoder().encode(
      JSON.stringify({ architecture, os: "linux", config: {}, rootfs: { type: "layers", diff_ids } }),
    ),
  );
  const manifest = makeManifest(mediaTypes.ociManifest, {
    config: config.descriptor,
    layers: [layer.descriptor],
  });
  return { architecture, layer, config, manifest };
}

function* members(programs: Record<string, string>) {
  const dir = INSIDE.slice(1);
  yield { name: `${dir}/`, type: "directory" as const, mode: 0o755 };
  for (const [name, base64] of Object.entries(programs)) {
    const bytes = new Uint8Array(Buffer.from(base64, "base64"));
    const file = { name: `${dir}/${name}`, type: "file" as const, mode: 0o755, size: bytes.byteLength };
    yield { ...file, body: () => streamOf(bytes) };
  }
}

function made(mediaType: string, bytes: Bytes): Made {
  return { descriptor: describe(mediaType, bytes), bytes };
}
