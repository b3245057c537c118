import { type Bytes, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { check, type Static, Type } from "../schema.ts";
import { checkStrictJson } from "../strict-json.ts";
import { type Descriptor, parseDescriptor, WireDescriptor } from "./descriptor.ts";
import { digestOf } from "./digest.ts";
import { isForeignLayer, isIndexType } from "./media-types.ts";

/** Manifests larger than this are refused: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests */
export const MAX_MANIFEST = 4 * 1024 * 1024;

/** The config of what is a manifest for the sake of registries, and no image. */
export const NO_IMAGE = encode(
  '{"architecture":"unknown","os":"unknown","rootfs":{"type":"layers","diff_ids":[]}}',
);
const MAX_CHILDREN = 1000;

const Annotations = Type.Optional(Type.Record(Type.String(), Type.String()));

const WireImage = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Type.String()),
  artifactType: Type.Optional(Type.String()),
  config: WireDescriptor,
  layers: Type.Array(WireDescriptor, { maxItems: MAX_CHILDREN }),
  subject: Type.Optional(WireDescriptor),
  annotations: Annotations,
});

const WireIndex = Type.Object({
  schemaVersion: Type.Literal(2),
  mediaType: Type.Optional(Type.String()),
  artifactType: Type.Optional(Type.String()),
  manifests: Type.Array(WireDescriptor, { maxItems: MAX_CHILDREN }),
  subject: Type.Optional(WireDescriptor),
  annotations: Annotations,
});

const Loose = Type.Record(Type.String(), Type.Unknown());

/** One image: https://github.com/opencontainers/image-spec/blob/main/manifest.md */
export interface ImageManifest {
  kind: "image";
  config: Descriptor;
  layers: Descriptor[];
  annotations: Record<string, string>;
  artifactType?: string;
  /** What it is about, when it is a signature, an SBOM or the like. */
  subject?: Descriptor;
}

/** Several manifests: https://github.com/opencontainers/image-spec/blob/main/image-index.md */
export interface ImageIndex {
  kind: "index";
  manifests: Descriptor[];
  annotations: Record<string, string>;
  artifactType?: string;
  subject?: Descriptor;
}

export type Manifest = ImageManifest | ImageIndex;

/**
 * Reads manifest bytes that arrived under `descriptor`. Bytes that could be read
 * as both an image and an index (CVE-2021-41190), or that call themselves
 * something else than their descriptor does, are refused.
 */
export function parseManifest(bytes: Uint8Array, descriptor: Descriptor): Manifest {
  const what = `manifest ${descriptor.digest}`;
  if (bytes.byteLength > MAX_MANIFEST)
    throw new DavitError("invalid", `Cannot read ${what}: it is larger than ${MAX_MANIFEST} bytes`);
  const value = checkStrictJson(Loose, bytes, what);
  if ("manifests" in value && ("layers" in value || "config" in value))
    throw new DavitError("invalid", `Cannot read ${what}: it is both an image and an index`);
  const own = value["mediaType"];
  if (own !== undefined && own !== descriptor.mediaType)
    throw new DavitError(
      "invalid",
      `Cannot read ${what}: it calls itself ${String(own)}, its descriptor says ${descriptor.mediaType}`,
    );
  return isIndexType(descriptor.mediaType) ? parseIndex(value, what) : parseImage(value, what);
}

function parseIndex(value: unknown, what: string): ImageIndex {
  const wire = check(WireIndex, value, what);
  return {
    kind: "index",
    manifests: wire.manifests.map(parseDescriptor),
    ...common(wire),
  };
}

function parseImage(value: unknown, what: string): ImageManifest {
  const wire: Static<typeof WireImage> = check(WireImage, value, what);
  return {
    kind: "image",
    config: parseDescriptor(wire.config),
    layers: wire.layers.map(parseDescriptor),
    ...common(wire),
  };
}

function common(wire: Pick<Static<typeof WireImage>, "annotations" | "artifactType" | "subject">) {
  return {
    annotations: wire.annotations ?? {},
    ...(wire.artifactType ? { artifactType: wire.artifactType } : {}),
    ...(wire.subject ? { subject: parseDescriptor(wire.subject) } : {}),
  };
}

/** How a list of referrers tells of one: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers */
export function referrerEntry(descriptor: Descriptor, bytes: Uint8Array): Descriptor {
  const manifest = parseManifest(bytes, descriptor);
  const { mediaType, digest, size } = descriptor;
  const ofConfig = manifest.kind === "image" ? manifest.config.mediaType : undefined;
  const artifactType = manifest.artifactType ?? ofConfig;
  const annotations = Object.keys(manifest.annotations).length > 0 ? manifest.annotations : undefined;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType ? { artifactType } : {}),
    ...(annotations ? { annotations } : {}),
  };
}

/** What must be in a store before this manifest may be: its children, in order, foreign layers left out. */
export function children(manifest: Manifest): Descriptor[] {
  if (manifest.kind === "index") return manifest.manifests;
  return [manifest.config, ...manifest.layers.filter((layer) => !isForeignLayer(layer.mediaType))];
}

/** `index.json` of a layout: an index whose own media type may be missing. */
export function parseLayoutIndex(text: string, what: string): ImageIndex {
  const value = checkStrictJson(Loose, text, what, "bad-archive");
  if ("layers" in value || "config" in value)
    throw new DavitError("bad-archive", `Cannot read ${what}: it is both an image and an index`);
  return parseIndex(value, what);
}

/** Serialises a manifest we make: stable key order as given, no white space, so equal content has equal bytes. */
export function renderManifest(value: object): Bytes {
  return new TextEncoder().encode(JSON.stringify(value));
}

/** Descriptor and bytes of a manifest we make. */
export function makeManifest(mediaType: string, value: object): { descriptor: Descriptor; bytes: Bytes } {
  const bytes = renderManifest({ schemaVersion: 2, mediaType, ...value });
  return { descriptor: { mediaType, digest: digestOf(bytes), size: bytes.byteLength }, bytes };
}
