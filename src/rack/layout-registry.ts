import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { decode } from "../bytes.ts";
import { DavitError, hasCode, systemError } from "../errors.ts";
import { BlobPool } from "../oci/blob-pool.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { digestOf } from "../oci/digest.ts";
import { LAYOUT_FILE, MAX_INDEX, REF_NAME } from "../oci/layout-store.ts";
import { parseLayoutIndex, referrerEntry } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { isRepository, TAG } from "../oci/reference.ts";
import type { ReadStore } from "../oci/store.ts";
import { type ReadManifest, Walk } from "../oci/walk.ts";
import { readNamed } from "../plain-file.ts";
import { anyOf, trim } from "../scanner.ts";
import { replaceFile } from "../write-file.ts";
import { Collector } from "./collector.ts";
import { Ledger } from "./ledger.ts";
import { Places } from "./places.ts";
import { Registry } from "./registry.ts";

/** Names an untagged manifest's repository in `index.json`. */
const IN_REPOSITORY = "dev.davit.repository";
/** The fact that holds the digest of the `index.json` we wrote last. */
const PUBLISHED = "published";

/**
 * An OCI layout directory as a registry. Its `index.json` is the truth about
 * names: a ref.name `REPO:TAG` belongs to REPO, a bare `TAG` to the directory's
 * own name. The ledger beside it knows what no layout can say (uploads under way,
 * who may count on what) and is made anew from `index.json` when it is lost.
 */
export async function openLayoutRegistry(dir: string, now?: () => Date): Promise<Registry> {
  const root = resolve(dir);
  await mkdir(root, { recursive: true }).catch((error: unknown) => {
    throw systemError(`Cannot open ${root}`, error);
  });
  const ledger = await Ledger.open({ path: join(root, "registry.db"), now });
  const pool = new BlobPool(root);
  const publisher = new Publisher(root, ledger);
  const collector = new Collector(new Places(pool), ledger, join(root, "registry-lock.db"));
  const registry = new Registry({
    ...{ ledger, collector, createsRepositories: true, sparse: true },
    changed: () => publisher.publish(),
  });
  await adopt(root, pool, ledger, registry);
  await publisher.publish();
  return registry;
}

/** Takes in what others wrote into the layout since we last did. */
async function adopt(root: string, pool: BlobPool, ledger: Ledger, registry: Registry): Promise<void> {
  const text = await readIndex(root);
  if (text === undefined || (await ledger.known(PUBLISHED)) === digestOf(new TextEncoder().encode(text)))
    return;
  const { manifests } = parseLayoutIndex(text, join(root, "index.json"));
  const lease = await registry.ledger.lease();
  for (const entry of manifests) {
    const place = placeOf(entry, basename(root));
    if (!place) continue;
    await registry.ledger.createRepository(place.repository);
    await adoptGraph(pool, ledger, place.repository, entry, lease);
    if (place.tag !== undefined) await ledger.content.setTag(place.repository, place.tag, entry);
  }
  await registry.ledger.keepTags(manifests.flatMap((entry) => placeOf(entry, basename(root)) ?? []));
}

/** Which repository and tag an entry of `index.json` stands for. */
export function placeOf(
  entry: Descriptor,
  directory: string,
): { repository: string; tag?: string } | undefined {
  const own = trim(directory.toLowerCase().replaceAll(/[^a-z0-9._-]+/g, "-"), anyOf("._-")) || "layout";
  const ref = entry.annotations?.[REF_NAME];
  const said = entry.annotations?.[IN_REPOSITORY];
  if (ref === undefined) return { repository: said !== undefined && isRepository(said) ? said : own };
  const colon = ref.lastIndexOf(":");
  const [repository, tag] = colon < 0 ? [own, ref] : [withoutHost(ref.slice(0, colon)), ref.slice(colon + 1)];
  return isRepository(repository) && TAG.test(tag) ? { repository, tag } : { repository: own };
}

/** An image's name without the registry's host that it may begin with. */
function withoutHost(name: string): string {
  const slash = name.indexOf("/");
  return slash >= 0 && /[.:]/.test(name.slice(0, slash)) ? name.slice(slash + 1) : name;
}

/** Records what a repository has of a graph: of what others wrote, parts may be missing. */
async function adoptGraph(
  pool: BlobPool,
  { content }: Ledger,
  repository: string,
  root: Descriptor,
  lease: string,
): Promise<void> {
  const record = async (node: Descriptor, read: ReadManifest | undefined): Promise<void> => {
    if (!read) return await content.add(repository, node, lease);
    const { bytes, below, manifest } = read;
    const entry = manifest.subject && referrerEntry(node, bytes);
    const more = { subject: manifest.subject, entry, root: node === root, sparse: true };
    await content.addManifest(repository, { descriptor: node, children: below, ...more }, lease);
  };
  await new Walk(poolStore(pool), { enter: (node) => pool.has(node), leave: record }).from(root);
}

function poolStore(pool: BlobPool): ReadStore {
  return {
    resolve: async (ref) => {
      throw new DavitError("not-found", `Cannot resolve ${JSON.stringify(ref)}: blobs have no names here`);
    },
    exists: async (blob) => ((await pool.has(blob)) ? "yes" : "no"),
    fetch: (blob, from = 0) => pool.read(blob, from),
  };
}

async function readIndex(root: string): Promise<string | undefined> {
  try {
    return decode(await readNamed(join(root, "index.json"), MAX_INDEX));
  } catch (error) {
    if (hasCode(error, "not-found")) return undefined;
    throw systemError(`Cannot read ${root}`, error);
  }
}

/** Writes `index.json` after changes: one write at a time, and one for all that came meanwhile. */
class Publisher {
  readonly #root: string;
  readonly #ledger: Ledger;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(root: string, ledger: Ledger) {
    this.#root = root;
    this.#ledger = ledger;
  }

  publish(): Promise<void> {
    if (!this.#running) return this.#start();
    const running = this.#running;
    this.#next ??= running.catch(() => undefined).then(() => this.#start());
    return this.#next;
  }

  #start(): Promise<void> {
    this.#next = undefined;
    const running = this.#write().finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  async #write(): Promise<void> {
    const manifests = (await this.#ledger.registry.names()).map(({ repository, tag, descriptor }) => ({
      ...descriptor,
      annotations: tag === "" ? { [IN_REPOSITORY]: repository } : { [REF_NAME]: `${repository}:${tag}` },
    }));
    const text = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
    const path = join(this.#root, "oci-layout");
    if (!existsSync(path)) await replaceFile(path, LAYOUT_FILE);
    await replaceFile(join(this.#root, "index.json"), text);
    await this.#ledger.setFact(PUBLISHED, digestOf(new TextEncoder().encode(text)));
  }
}
