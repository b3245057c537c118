/** Media types of the OCI image specification and their Docker ancestors. */
export const mediaTypes = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
} as const;

const INDEXES: readonly string[] = [mediaTypes.ociIndex, mediaTypes.dockerIndex];
const IMAGES: readonly string[] = [mediaTypes.ociManifest, mediaTypes.dockerManifest];

export function isIndexType(mediaType: string): boolean {
  return INDEXES.includes(mediaType);
}

/** Whether a descriptor of this type has children: an index or an image manifest. */
export function isManifestType(mediaType: string): boolean {
  return INDEXES.includes(mediaType) || IMAGES.includes(mediaType);
}

/** Layers "distributed elsewhere": their `urls` are never fetched. */
export function isForeignLayer(mediaType: string): boolean {
  return mediaType.includes("nondistributable") || mediaType.includes("foreign");
}
