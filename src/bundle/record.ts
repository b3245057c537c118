import { type Bytes, collect, decode, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { SERVICE_NAME } from "../manifest/convox-yml.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import type { Ingested } from "../oci/ingest.ts";
import { REF_NAME } from "../oci/layout-store.ts";
import { type Manifest, makeManifest } from "../oci/manifest.ts";
import { isIndexType, mediaTypes } from "../oci/media-types.ts";
import { contentOf, type ReadStore, type Store } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import { type Static, Type } from "../schema.ts";
import { checkStrictJson } from "../strict-json.ts";

/** Annotations of a build's index. */
export const SERVICE = "dev.davit.service";
export const RECORD = "dev.davit.record";

/** Media types of the record's layers. */
const BUILD_JSON = "application/vnd.dev.davit.build.v1+json";
const CONVOX_YML = "application/vnd.dev.davit.manifest.v1+yaml";
export const BUILD_LOG = "application/vnd.dev.davit.log.v1+text";

const MAX_RECORD = 4 * 1024 * 1024;

/** One step of a Dockerfile as a build took it. */
export const BuildStep = Type.Object({
  service: Type.String(),
  /** As BuildKit names it: `[2/3] COPY . /src`. */
  name: Type.String(),
  cached: Type.Boolean(),
  seconds: Type.Number(),
  /** Why it was not cached, as far as that is known. */
  cause: Type.Optional(Type.String()),
});
export type BuildStep = Static<typeof BuildStep>;

/** How a build came about: frozen when it completes, the same in every rack. */
export const BuildRecord = Type.Object({
  id: Type.String(),
  app: Type.String(),
  description: Type.String(),
  "git-sha": Type.String(),
  entrypoint: Type.String(),
  "wildcard-domain": Type.Boolean(),
  started: Type.String(),
  ended: Type.String(),
  engine: Type.String(),
  /** What the engine did, where it tells. */
  steps: Type.Optional(Type.Array(BuildStep)),
});
export type BuildRecord = Static<typeof BuildRecord>;

/** A whole build as its index tells it. */
export interface BuildContent {
  index: Descriptor;
  record: BuildRecord;
  manifest: string;
  log: Descriptor;
  /** Each service's manifests: one, or one a platform. */
  services: Map<string, Descriptor[]>;
}

/**
 * Stores the record and the build's index over it and the images. The record is
 * shaped like a BuildKit attestation, because registries that refuse unknown
 * artifact types take those.
 */
export async function putBuild(
  store: Store,
  record: BuildRecord,
  manifest: string,
  log: Descriptor,
  images: Map<string, Descriptor>,
): Promise<Descriptor> {
  const recordDescriptor = await putRecord(store, record, manifest, log);
  const services = [...images].sort(([a], [b]) => (a < b ? -1 : 1));
  const manifests: Descriptor[] = [];
  for (const [service, image] of services) manifests.push(...(await serviceEntries(store, service, image)));
  manifests.push({
    ...recordDescriptor,
    platform: { architecture: "unknown", os: "unknown" },
    annotations: { [RECORD]: "v1" },
  });
  return await put(store, makeManifest(mediaTypes.ociIndex, { manifests }));
}

async function putRecord(
  store: Store,
  record: BuildRecord,
  manifest: string,
  log: Descriptor,
): Promise<Descriptor> {
  const layers = [
    await putBytes(store, BUILD_JSON, encode(JSON.stringify(record, undefined, 2))),
    await putBytes(store, CONVOX_YML, encode(manifest)),
    { ...log, mediaType: BUILD_LOG },
  ];
  const config = {
    architecture: "unknown",
    os: "unknown",
    config: {},
    rootfs: { type: "layers", diff_ids: layers.map((layer) => layer.digest) },
  };
  const configDescriptor = await putBytes(store, mediaTypes.ociConfig, encode(JSON.stringify(config)));
  return await put(
    store,
    makeManifest(mediaTypes.ociManifest, {
      config: configDescriptor,
      layers,
      annotations: { [RECORD]: "v1" },
    }),
  );
}

/** The index is flat: a multi-platform image lists its manifests, so that no reader meets an index in an index. */
async function serviceEntries(store: Store, service: string, image: Descriptor): Promise<Descriptor[]> {
  const { mediaType, digest, size } = image;
  if (!isIndexType(mediaType)) return [{ mediaType, digest, size, annotations: { [SERVICE]: service } }];
  const { manifest } = await readManifest(store, image);
  const children = manifest.kind === "index" ? manifest.manifests : [];
  return children.map((child) => ({ ...child, annotations: { ...child.annotations, [SERVICE]: service } }));
}

async function putBytes(store: Store, mediaType: string, bytes: Bytes): Promise<Descriptor> {
  const descriptor = describe(mediaType, bytes);
  await store.push(descriptor, contentOf(bytes));
  return descriptor;
}

async function put(store: Store, made: { descriptor: Descriptor; bytes: Bytes }): Promise<Descriptor> {
  await store.push(made.descriptor, contentOf(made.bytes));
  return made.descriptor;
}

/** Whether an index is a build's: it has a record. */
export function recordOf(manifests: Descriptor[]): Descriptor | undefined {
  return manifests.find((entry) => entry.annotations?.[RECORD] !== undefined);
}

/** Reads a build back from the store that holds it. */
export async function readBuild(store: ReadStore, index: Descriptor): Promise<BuildContent> {
  const { manifest } = await readManifest(store, index);
  const entries = manifest.kind === "index" ? manifest.manifests : [];
  const recordEntry = recordOf(entries);
  if (!recordEntry)
    throw new DavitError("bad-archive", `Cannot read build ${index.digest}: it has no record`);
  const record = (await readManifest(store, recordEntry)).manifest;
  const layer = (type: string): Descriptor => {
    const found = record.kind === "image" ? record.layers.find((l) => l.mediaType === type) : undefined;
    if (!found)
      throw new DavitError("bad-archive", `Cannot read build ${index.digest}: its record has no ${type}`);
    return found;
  };
  const text = async (type: string) =>
    decode(await collect(await store.fetch(layer(type)), MAX_RECORD, `the build's record`));
  return {
    index,
    record: checkStrictJson(BuildRecord, await text(BUILD_JSON), "build.json", "bad-archive"),
    manifest: await text(CONVOX_YML),
    log: layer(BUILD_LOG),
    services: servicesIn(entries, index),
  };
}

/** A build's entries by the service that they name. A name that no service can have is an error: others may have made the index. */
function servicesIn(entries: readonly Descriptor[], index: Descriptor): Map<string, Descriptor[]> {
  const services = new Map<string, Descriptor[]>();
  for (const entry of entries) {
    const service = entry.annotations?.[SERVICE];
    if (service === undefined) continue;
    if (!SERVICE_NAME.test(service))
      throw new DavitError(
        "bad-archive",
        `Cannot read build ${index.digest}: ${JSON.stringify(service.slice(0, 100))} is no service's name`,
      );
    services.set(service, [...(services.get(service) ?? []), entry]);
  }
  return services;
}

/** Whether a manifest is a build's index. */
export function isBuildIndex(manifest: Manifest): boolean {
  return manifest.kind === "index" && recordOf(manifest.manifests) !== undefined;
}

/** Each service's image: as an archive names it, else put together from the build's index. */
export async function servicesImages(
  store: Store,
  content: BuildContent,
  archive?: Ingested,
): Promise<Map<string, Descriptor>> {
  const images = new Map<string, Descriptor>();
  for (const [service, entries] of content.services) {
    const named = archive?.index.manifests.find(
      (entry) => isNamedAfter(entry, service) && covers(archive, entry, entries),
    );
    images.set(service, plain(named ?? (await joined(entries, store))));
  }
  return images;
}

function isNamedAfter(entry: Descriptor, service: string): boolean {
  const ref = entry.annotations?.[REF_NAME] ?? "";
  return ref.startsWith(`${service}.`) && !ref.slice(service.length + 1).includes(".");
}

/** Whether a top-level entry is this service's image: the same manifest, or an index over just these. */
function covers({ manifests }: Ingested, entry: Descriptor, expected: Descriptor[]): boolean {
  const manifest = manifests.get(entry.digest)?.manifest;
  const digests =
    manifest?.kind === "index" ? manifest.manifests.map((child) => child.digest) : [entry.digest];
  return digests.length === expected.length && expected.every((wanted) => digests.includes(wanted.digest));
}

async function joined(entries: Descriptor[], store: Store): Promise<Descriptor> {
  const [only, second] = entries;
  if (only && !second) return only;
  const manifests = entries.map(({ mediaType, digest, size, platform }) => ({
    ...{ mediaType, digest, size },
    ...(platform ? { platform } : {}),
  }));
  return await put(store, makeManifest(mediaTypes.ociIndex, { manifests }));
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}
