import { ingestArchive } from "../bundle/ingest.ts";
import { isBuildIndex, readBuild, servicesImages } from "../bundle/record.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { copy } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { parseDigest } from "../oci/digest.ts";
import { RegistryStore } from "../oci/registry-store.ts";
import type { ReadStore } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import { checkExpected, type Incoming, incoming, progressOf } from "./embedded-import.ts";
import { blobsBelow, bundleOf, type ExportedBuild } from "./export.ts";
import { foreignBuild } from "./foreign-build.ts";
import type { Env } from "./home.ts";
import type { Build, BuildSource, Bundle, ExportOptions, ImportOptions } from "./rack.ts";
import type { RackClient } from "./rack-client.ts";
import { buildOf, list, WireBuild } from "./remote-wire.ts";

/*
 * Builds into and out of another davit: no archive travels. Content goes through
 * `/v2`, blob by blob, so that only what is missing moves and a cut goes on where
 * it was; one call at the end makes builds of it.
 */

export interface RemoteParts {
  client: RackClient;
  env: Env;
  /** Where registries' profiles and uploads under way are kept. */
  state: string;
}

/** An app's content. What is pushed waits for the call that makes builds of it. */
export function contentOfApp(
  { client, env, state }: RemoteParts,
  app: string,
  signal?: AbortSignal,
): RegistryStore {
  const { url, username, password, trust } = client.address;
  const credentials = { username: username || "davit", password: decodeURIComponent(password) };
  const reference = { host: url.host, repository: app, tag: undefined, digest: undefined };
  return new RegistryStore(reference, { env, state, credentials, trust, signal, push: true, staged: true });
}

export async function exportRemote(
  parts: RemoteParts,
  app: string,
  builds: readonly Build[],
  options: Omit<ExportOptions, "since"> & { since?: Build | undefined },
): Promise<Bundle> {
  const store = contentOfApp(parts, app);
  const omit = new Set(options.have);
  if (options.since) {
    const { index, images } = await rootsOf(store, options.since);
    for (const digest of await blobsBelow(store, [index, ...images.values()])) omit.add(digest);
  }
  const exported = await Promise.all(builds.map((build) => rootsOf(store, build)));
  const prefix = `${parts.client.address.name}/${app}`;
  return await bundleOf(store, exported, { omit, prefix, format: options.format });
}

export async function readRemote<T>(
  parts: RemoteParts,
  app: string,
  build: Build,
  work: (source: BuildSource) => Promise<T>,
): Promise<T> {
  const store = contentOfApp(parts, app);
  const { index, images } = await rootsOf(store, build);
  return await work({ store, id: build.id, index, images });
}

async function rootsOf(store: RegistryStore, build: Build): Promise<ExportedBuild> {
  if (build.digest === undefined)
    throw new DavitError("conflict", `Cannot export build ${build.id}: it is ${build.status}`, {
      hint: "only complete builds have images",
    });
  const index = await store.resolve(parseDigest(build.digest));
  const images = new Map<string, Descriptor>();
  for (const [service, digest] of Object.entries(build.images ?? {}))
    images.set(service, await store.resolve(parseDigest(digest)));
  return { build, index, images };
}

export async function importRemote(
  parts: RemoteParts,
  app: string,
  archive: ByteStream,
  options: ImportOptions,
): Promise<Build[]> {
  const store = contentOfApp(parts, app, options.signal);
  const read = await ingestArchive(archive, store, progressOf(options));
  return await commit(parts, app, await incoming(store, app, read), options);
}

export async function copyRemote(
  parts: RemoteParts,
  app: string,
  source: ReadStore,
  root: Descriptor,
  options: ImportOptions,
): Promise<Build> {
  const store = contentOfApp(parts, app, options.signal);
  let done = 0;
  const bytes = (count: number): void => {
    done += count;
    options.onProgress?.({ what: "Copying", done });
  };
  const on = { bytes, ...(options.onWarning ? { warning: options.onWarning } : {}) };
  await copy(source, root, store, { referrers: true, on });
  const { manifest } = await readManifest(store, root);
  const found: Incoming = isBuildIndex(manifest)
    ? await buildIn(store, root)
    : await foreignBuild(store, app, { kind: "layout", roots: [{ descriptor: root, names: [] }] });
  const [build] = await commit(parts, app, [found], options);
  if (!build) throw new DavitError("rack", `Cannot import ${root.digest}: the rack made no build of it`);
  return build;
}

async function buildIn(store: RegistryStore, root: Descriptor): Promise<Incoming> {
  const content = await readBuild(store, root);
  return { content, images: await servicesImages(store, content) };
}

async function commit(
  { client }: RemoteParts,
  app: string,
  found: Incoming[],
  { expect, idempotencyKey, signal }: ImportOptions,
): Promise<Build[]> {
  checkExpected(found, expect ?? []);
  const builds = found.map(({ content, images }) => ({
    index: content.index,
    images: Object.fromEntries(images),
  }));
  const body = JSON.stringify({ builds, ...(idempotencyKey === undefined ? {} : { idempotencyKey }) });
  const made = await client.json(list(WireBuild), "POST", `/apps/${app}/builds/commit`, { body, signal });
  return (made ?? []).map((build) => buildOf(build, app));
}
