import { type Bytes, encode } from "../../src/bytes.ts";
import { describe } from "../../src/oci/descriptor.ts";
import { Digester } from "../../src/oci/digest.ts";
import { makeManifest } from "../../src/oci/manifest.ts";
import { mediaTypes } from "../../src/oci/media-types.ts";
import { writeTar } from "../../src/tar/write.ts";

const LAYERS = 4;

/** An OCI archive of so many bytes, made as it is read: nothing of it is ever anywhere. Its image is called v1. */
export async function generatedArchive(
  size: number,
): Promise<{ stream: AsyncGenerator<Bytes>; bytes: number }> {
  const piece = crypto.getRandomValues(new Uint8Array(65536));
  const block = new Uint8Array(1024 * 1024);
  for (let at = 0; at < block.byteLength; at += piece.byteLength) block.set(piece, at);
  const each = Math.max(1, Math.floor(size / LAYERS / block.byteLength)) * block.byteLength;
  /** A layer is its number and then the same noise again and again. */
  async function* layer(number: number) {
    const first = block.slice();
    first.set(encode(`layer ${number}`));
    for (let at = 0; at < each; at += block.byteLength) yield at === 0 ? first : block;
  }
  const layers = [];
  for (let i = 0; i < LAYERS; i++) {
    const digester = new Digester();
    for await (const chunk of layer(i)) digester.update(chunk);
    layers.push({ mediaType: mediaTypes.ociLayerGzip, digest: digester.digest(), size: each });
  }
  const diffIds = layers.map(({ digest }) => digest);
  const config = encode(
    JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: diffIds } }),
  );
  const configDescriptor = describe(mediaTypes.ociConfig, config);
  const image = makeManifest(mediaTypes.ociManifest, { config: configDescriptor, layers });
  const named = { ...image.descriptor, annotations: { "org.opencontainers.image.ref.name": "v1" } };
  const entry = (name: string, bytes: Bytes) => ({
    ...{ name, type: "file" as const, size: bytes.byteLength },
    body: async function* () {
      yield bytes;
    },
  });
  const blob = (digest: string) => `blobs/${digest.replace(":", "/")}`;
  const stream = writeTar([
    entry("oci-layout", encode('{"imageLayoutVersion":"1.0.0"}')),
    entry("index.json", encode(JSON.stringify({ schemaVersion: 2, manifests: [named] }))),
    entry(blob(image.descriptor.digest), image.bytes),
    entry(blob(configDescriptor.digest), config),
    ...layers.map(({ digest }, i) => ({
      name: blob(digest),
      type: "file" as const,
      size: each,
      body: () => layer(i),
    })),
  ]);
  return { stream, bytes: each * LAYERS };
}
