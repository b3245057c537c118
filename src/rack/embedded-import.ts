import { type Archive, ingestArchive } from "../bundle/ingest.ts";
import { type BuildContent, isBuildIndex, readBuild, servicesImages } from "../bundle/record.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { copy } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ReadStore, Store } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import type { NewBuild } from "./build-ledger.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { requireWhole } from "./external-build.ts";
import { foreignBuild } from "./foreign-build.ts";
import { newId } from "./ids.ts";
import type { Build, ImportOptions } from "./rack.ts";
import type { RackStore } from "./rack-store.ts";
import { buildOf } from "./rows.ts";

/** A build on its way in: what it is, and each service's image. */
export interface Incoming {
  content: BuildContent;
  images: Map<string, Descriptor>;
}

/**
 * Reads the builds of an archive from a stream into the rack. Nothing is visible
 * before the one transaction at the end; what came before it is swept when the
 * lease ends, but for an archive that was cut: its content stays for the next try.
 */
export async function importEmbedded(
  parts: EmbeddedParts,
  app: string,
  archive: ByteStream,
  options: ImportOptions,
): Promise<Build[]> {
  return await importFrom(parts, app, options, async (store) => {
    const read = await ingestArchive(archive, store, progressOf(options));
    return await incoming(store, app, read);
  });
}

/** A build whose content is in the app already, put there piece by piece. */
export interface Staged {
  index: Descriptor;
  images: Map<string, Descriptor>;
}

/** Makes builds of content that a client has put in place before: the last step of an import over the network. */
export async function commitStaged(
  parts: EmbeddedParts,
  app: string,
  staged: readonly Staged[],
  options: ImportOptions,
): Promise<Build[]> {
  return await importFrom(parts, app, options, async (store) => {
    const builds: Incoming[] = [];
    for (const { index, images } of staged) {
      await requireWhole(store, [index, ...images.values()], "Cannot import the build");
      const content = await readBuild(store, index);
      requireServices(content, images);
      builds.push({ content, images });
    }
    return builds;
  });
}

/** The names that a client gives to images are those of the build's services. */
function requireServices({ services }: BuildContent, images: ReadonlyMap<string, Descriptor>): void {
  if ([...images.keys()].some((service) => !services.has(service)) || images.size !== services.size)
    throw new DavitError("invalid", "Cannot import the build: its images are not those of its services");
}

/** Takes a build or an image out of another store; only what is missing moves. */
export async function copyEmbedded(
  parts: EmbeddedParts,
  app: string,
  source: ReadStore,
  root: Descriptor,
  options: ImportOptions,
): Promise<Build> {
  let done = 0;
  const bytes = (count: number): void => {
    done += count;
    options.onProgress?.({ what: "Copying", done });
  };
  const on = { bytes, ...(options.onWarning ? { warning: options.onWarning } : {}) };
  const [build] = await importFrom(parts, app, options, async (store) => {
    await copy(source, root, store, { referrers: true, on });
    const { manifest } = await readManifest(store, root);
    if (!isBuildIndex(manifest))
      return [await foreignBuild(store, app, { kind: "layout", roots: [{ descriptor: root, names: [] }] })];
    const content = await readBuild(store, root);
    return [{ content, images: await servicesImages(store, content) }];
  });
  if (!build) throw new DavitError("bad-archive", `Cannot import ${root.digest}: it holds no build`);
  return build;
}

/** The same from any source of content: `bring` stores it, and says which builds it is. */
export async function importFrom(
  parts: EmbeddedParts,
  app: string,
  options: ImportOptions,
  bring: (store: RackStore) => Promise<Incoming[]>,
): Promise<Build[]> {
  await parts.ledger.apps.find(app);
  const before =
    options.idempotencyKey === undefined
      ? []
      : await parts.ledger.builds.importedAs(app, options.idempotencyKey);
  if (before.length > 0) return before.map(buildOf);
  return await parts.store(app).importLease(async (store) => {
    const builds = await bring(store);
    options.signal?.throwIfAborted();
    checkExpected(builds, options.expect ?? []);
    return await commit(parts, store, app, builds, options);
  });
}

export function progressOf({ onWarning, onProgress, size, signal }: ImportOptions) {
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

/** The builds in an archive: those of davit's that it names, else the one that its images make up. */
export async function incoming(store: Store, app: string, archive: Archive): Promise<Incoming[]> {
  const found: Incoming[] = [];
  for (const { descriptor } of archive.roots) {
    const manifest = archive.layout?.manifests.get(descriptor.digest)?.manifest;
    if (
      !manifest ||
      !isBuildIndex(manifest) ||
      found.some(({ content }) => content.index.digest === descriptor.digest)
    )
      continue;
    const content = await readBuild(store, descriptor);
    found.push({ content, images: await servicesImages(store, content, archive.layout) });
  }
  return found.length > 0 ? found : [await foreignBuild(store, app, archive)];
}

/** Refuses an archive that holds anything else than what was expected. */
export function checkExpected(builds: Incoming[], expected: readonly string[]): void {
  if (expected.length === 0) return;
  const idsOf = ({ content, images }: Incoming) => [
    content.index.digest,
    ...[...images.values()].map(({ digest }) => digest),
  ];
  const known = builds.flatMap(idsOf);
  const strange = expected.find((digest) => !known.some((id) => id === digest));
  const surplus = builds.find((build) => !idsOf(build).some((digest) => expected.includes(digest)));
  if (strange === undefined && !surplus) return;
  const found = builds.map(({ content }) => content.index.digest).join(", ");
  throw new DavitError(
    "mismatch",
    `Cannot import the archive: expected is ${expected.join(", ")}, it holds ${found}`,
  );
}

async function commit(
  parts: EmbeddedParts,
  store: RackStore,
  app: string,
  builds: Incoming[],
  options: ImportOptions,
): Promise<Build[]> {
  const made = builds.map(({ content, images }) => ({
    content,
    images,
    build: newBuild(parts, app, content),
  }));
  for (const { content, images, build } of made) await store.nameBuild(build.id, content.index, images);
  const releases = made.map(({ content }) => ({
    manifest: content.manifest,
    description: content.record.description,
  }));
  const ids = await parts.releases.inheritAll(app, releases, async (sealed) => {
    const imports = made.flatMap(({ content, images, build }, i) => {
      const release = sealed[i];
      if (!release) return [];
      const tags = [...images].map(([service, descriptor]) => ({
        name: `${service}.${build.id}`,
        descriptor,
      }));
      const { record, index, log } = content;
      const done = { id: build.id, app, tags, release, index, log, ended: "" };
      return [{ build, done: { ...done, entrypoint: record.entrypoint, engine: record.engine } }];
    });
    return await parts.ledger.builds.import(imports, options.idempotencyKey);
  });
  return await Promise.all(ids.map(async (id) => buildOf(await parts.ledger.builds.find(app, id))));
}

function newBuild(parts: EmbeddedParts, app: string, { record }: BuildContent): NewBuild {
  return {
    id: newId("B", parts.random),
    app,
    description: record.description,
    gitSha: record["git-sha"],
    wildcardDomain: record["wildcard-domain"],
  };
}
