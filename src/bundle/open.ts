import { sniff } from "../compression.ts";
import { DavitError } from "../errors.ts";
import { ArchiveStore } from "../oci/archive-store.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { LayoutStore, REF_NAME } from "../oci/layout-store.ts";
import { tagOf } from "../oci/names.ts";
import type { ReadStore } from "../oci/store.ts";
import { openNamed } from "../plain-file.ts";
import { isFirstVolume } from "../volumes.ts";
import { isDirectory } from "./place.ts";
import { isBuild } from "./roots.ts";

/** Content at rest, with the names it has there. */
export interface Opened {
  store: ReadStore;
  roots: { descriptor: Descriptor; names: string[] }[];
}

/**
 * Opens a layout directory, or an archive that can be read in place. Undefined is
 * for archives that have to be read as a stream: compressed, in volumes, or of
 * another kind than OCI layouts.
 */
export async function openAtRest(path: string): Promise<Opened | undefined> {
  if (isDirectory(path)) {
    const store = new LayoutStore(path);
    return { store, roots: rootsOf(await store.index()) };
  }
  if (isFirstVolume(path) || !(await isPlainFile(path))) return undefined;
  const store = await ArchiveStore.openLayout(path);
  return store && { store, roots: rootsOf(store.index) };
}

async function isPlainFile(path: string): Promise<boolean> {
  const file = await openNamed(path);
  try {
    if (!(await file.stat()).isFile()) return false;
    const { buffer, bytesRead } = await file.read(new Uint8Array(4), 0, 4, 0);
    return sniff(buffer.subarray(0, bytesRead)) === "none";
  } finally {
    await file.close();
  }
}

function rootsOf(index: Descriptor[]): Opened["roots"] {
  return index.map(({ mediaType, digest, size, annotations }) => {
    const name = annotations?.[REF_NAME];
    return { descriptor: { mediaType, digest, size }, names: name === undefined ? [] : [name] };
  });
}

/** What a name, or no name, means in an archive: the root so called, the only build, or the only image. */
export async function findRoot({ store, roots }: Opened, name: string | undefined): Promise<Descriptor> {
  if (name !== undefined) {
    const found = roots.find(
      ({ names, descriptor }) =>
        names.some((n) => n === name || tagOf(n) === name) || descriptor.digest === name,
    );
    if (found) return found.descriptor;
    throw new DavitError("not-found", `Cannot find ${JSON.stringify(name)} in it: it holds ${listed(roots)}`);
  }
  const builds: Descriptor[] = [];
  for (const { descriptor } of roots) if (await isBuild(store, descriptor)) builds.push(descriptor);
  const named = roots.filter(({ names }) => names.length > 0).map(({ descriptor }) => descriptor);
  const all = roots.map(({ descriptor }) => descriptor);
  const candidates = [builds, named, all].find((list) => list.length > 0) ?? [];
  const [only] = candidates;
  if (only && candidates.every(({ digest }) => digest === only.digest)) return only;
  if (!only) throw new DavitError("bad-archive", "Cannot use the archive: it holds no image");
  throw new DavitError("usage", `Cannot tell which image is meant: it holds ${listed(roots)}`, {
    hint: "name one, or leave the tag out so that every name becomes one",
  });
}

function listed(roots: Opened["roots"]): string {
  return roots
    .flatMap(({ names, descriptor }) => (names.length > 0 ? names : [descriptor.digest]))
    .join(", ");
}
