import { type BuildStep, readBuild } from "../bundle/record.ts";
import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { parseDigest } from "../oci/digest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { blobsBelow, bundleOf } from "./export.ts";
import type { BuildSource, Bundle, ExportOptions } from "./rack.ts";
import type { RackStore } from "./rack-store.ts";
import { type BuildRow, buildOf } from "./rows.ts";

/** Streams builds out of the rack; what they need is pinned until the last byte. */
export async function exportEmbedded(
  parts: EmbeddedParts,
  app: string,
  ids: readonly string[],
  options: ExportOptions,
): Promise<Bundle> {
  const rows = await Promise.all(ids.map((id) => exportable(parts, app, id)));
  const { promise: plan, resolve, reject } = Promise.withResolvers<Bundle>();
  const { promise: finished, resolve: finish } = Promise.withResolvers<void>();
  const leased = parts
    .store(app)
    .lease(async (store) => {
      for (const row of rows) await pin(parts, store, row);
      const builds = await Promise.all(
        rows.map(async (row) => ({
          build: buildOf(row),
          index: indexOf(row),
          images: await imagesOf(parts, row),
        })),
      );
      const omit = await omitted(parts, app, store, options);
      resolve(
        await bundleOf(store, builds, { omit, prefix: `${parts.name}/${app}`, format: options.format }),
      );
      await finished;
    })
    .catch(reject);
  const bundle = await plan;
  const end = async (): Promise<void> => {
    finish();
    await leased;
  };
  return { ...bundle, stream: whenDone(bundle.stream, end) };
}

/** Hands a build's content to `work`, pinned until it is done. */
export async function readEmbedded<T>(
  parts: EmbeddedParts,
  app: string,
  id: string,
  work: (source: BuildSource) => Promise<T>,
): Promise<T> {
  const row = await exportable(parts, app, id);
  return await parts.store(app).lease(async (store) => {
    await pin(parts, store, row);
    return await work({ store, id, index: indexOf(row), images: await imagesOf(parts, row) });
  });
}

async function exportable(parts: EmbeddedParts, app: string, id: string): Promise<BuildRow> {
  const row = await parts.ledger.builds.find(app, id);
  if (row.index_digest === "")
    throw new DavitError("conflict", `Cannot export build ${id}: it is ${row.status}`, {
      hint: "only complete builds have images",
    });
  return row;
}

/** A "yes" inside a lease pins; whatever a pinned root reaches is safe with it. */
async function pin(parts: EmbeddedParts, store: RackStore, row: BuildRow): Promise<void> {
  if ((await store.exists(indexOf(row))) !== "yes")
    throw new DavitError("not-found", `build not found: ${row.id}`);
  for (const image of (await imagesOf(parts, row)).values()) await store.exists(image);
}

/** The blobs a reader has: those it listed, and those of a build it is known to have. */
async function omitted(
  parts: EmbeddedParts,
  app: string,
  store: RackStore,
  { since, have = [] }: ExportOptions,
): Promise<Set<string>> {
  const omit = new Set(have);
  if (since === undefined) return omit;
  const row = await exportable(parts, app, since);
  const images = await imagesOf(parts, row);
  for (const digest of await blobsBelow(store, [indexOf(row), ...images.values()])) omit.add(digest);
  return omit;
}

function indexOf(row: BuildRow): Descriptor {
  return { mediaType: mediaTypes.ociIndex, digest: parseDigest(row.index_digest), size: row.index_size };
}

/** The image behind each service's tag. */
export async function imagesOf(parts: EmbeddedParts, row: BuildRow): Promise<Map<string, Descriptor>> {
  const images = new Map<string, Descriptor>();
  for (const tag of await parts.ledger.content.tagsOf(row.app, `.${row.id}`)) {
    const descriptor = { mediaType: tag.media_type, digest: parseDigest(tag.digest), size: tag.size };
    images.set(tag.name.slice(0, -row.id.length - 1), descriptor);
  }
  return images;
}

/** What the engine did, as the build's record tells; nothing where that cannot be read. */
export async function stepsOf(parts: EmbeddedParts, row: BuildRow): Promise<BuildStep[] | undefined> {
  if (row.index_digest === "") return undefined;
  const content = await readBuild(parts.store(row.app), indexOf(row)).catch(() => undefined);
  return content?.record.steps;
}

async function* whenDone(stream: ByteStream, done: () => Promise<void>): AsyncGenerator<Bytes> {
  try {
    yield* stream;
  } finally {
    await done();
  }
}
