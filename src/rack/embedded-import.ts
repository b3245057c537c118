import { type BuildContent, readBuild, recordOf } from "../bundle/record.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { type Ingested, ingestLayout } from "../oci/ingest.ts";
import { REF_NAME } from "../oci/layout-store.ts";
import { makeManifest } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { contentOf, type Store } from "../oci/store.ts";
import type { EmbeddedParts } from "./embedded.ts";
import { newId } from "./ids.ts";
import type { NewBuild } from "./ledger.ts";
import type { Build, ImportOptions } from "./rack.ts";
import { buildOf } from "./rows.ts";

/**
 * Reads a bundle from a stream into the rack. Nothing is visible before the one
 * transaction at the end; what came before it is swept when the lease ends.
 */
export async function importEmbedded(
  parts: EmbeddedParts,
  app: string,
  archive: ByteStream,
  options: ImportOptions,
): Promise<Build> {
  parts.ledger.app(app);
  const before =
    options.idempotencyKey === undefined ? undefined : parts.ledger.importedAs(app, options.idempotencyKey);
  if (before) return buildOf(before);
  try {
    return await parts.store(app).lease(async (store) => {
      const ingested = await ingestLayout(archive, store, progressOf(options));
      const content = await readBuild(store, buildIndex(ingested));
      options.signal?.throwIfAborted();
      return await commit(parts, app, content, await serviceImages(ingested, content, store), options);
    });
  } catch (error) {
    await parts.collector.run().catch(() => undefined);
    throw error;
  }
}

function progressOf({ onWarning, onProgress, size, signal }: ImportOptions) {
  let done = 0;
  return {
    ...(onWarning ? { onWarning } : {}),
    onBytes: (bytes: number) => {
      done += bytes;
      signal?.throwIfAborted();
      onProgress?.({ what: "Importing", done, ...(size === undefined ? {} : { total: size }) });
    },
  };
}

/** The one index in the archive that has a record. */
function buildIndex({ index, manifests }: Ingested): Descriptor {
  const builds = index.manifests.filter((entry) => {
    const manifest = manifests.get(entry.digest)?.manifest;
    return manifest?.kind === "index" && recordOf(manifest.manifests) !== undefined;
  });
  const [build, another] = builds;
  if (!build)
    throw new DavitError(
      "bad-archive",
      "Cannot import the archive: it holds images, and no build of davit's",
      {
        hint: "archives that `davit builds export` wrote can be imported",
      },
    );
  if (another)
    throw new DavitError("unsupported", `Cannot import the archive: it holds ${builds.length} builds`, {
      hint: "export them one by one",
    });
  return { mediaType: build.mediaType, digest: build.digest, size: build.size };
}

/** Each service's image: as the archive names it, else put together from the build's index. */
async function serviceImages(
  ingested: Ingested,
  content: BuildContent,
  store: Store,
): Promise<Map<string, Descriptor>> {
  const images = new Map<string, Descriptor>();
  for (const [service, entries] of content.services) {
    const name = `${service}.`;
    const named = ingested.index.manifests.find((entry) => {
      const ref = entry.annotations?.[REF_NAME] ?? "";
      return (
        ref.startsWith(name) && !ref.slice(name.length).includes(".") && covers(ingested, entry, entries)
      );
    });
    images.set(service, plain(named ?? (await joined(entries, store))));
  }
  return images;
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
    mediaType,
    digest,
    size,
    ...(platform ? { platform } : {}),
  }));
  const made = makeManifest(mediaTypes.ociIndex, { manifests });
  await store.push(made.descriptor, contentOf(made.bytes));
  return made.descriptor;
}

function plain({ mediaType, digest, size }: Descriptor): Descriptor {
  return { mediaType, digest, size };
}

async function commit(
  parts: EmbeddedParts,
  app: string,
  content: BuildContent,
  images: Map<string, Descriptor>,
  options: ImportOptions,
): Promise<Build> {
  const { record } = content;
  const build: NewBuild = {
    id: newId("B", parts.random),
    app,
    description: record.description,
    gitSha: record["git-sha"],
    wildcardDomain: record["wildcard-domain"],
  };
  const tags = [...images].map(([service, descriptor]) => ({ name: `${service}.${build.id}`, descriptor }));
  await parts.releases.inherit(app, content.manifest, record.description, (release) =>
    parts.ledger.importBuild(
      build,
      {
        ...{ id: build.id, app, tags, release, index: content.index, log: content.log },
        ...{ entrypoint: record.entrypoint, engine: record.engine, ended: "" },
      },
      options.idempotencyKey,
    ),
  );
  await parts.publish();
  return buildOf(parts.ledger.build(app, build.id));
}
