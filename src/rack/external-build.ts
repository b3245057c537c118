import { Redactor } from "../build/redact.ts";
import { BUILD_LOG, type BuildStep, putBuild } from "../bundle/record.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { loadConvoxYml } from "../manifest/convox-yml.ts";
import { copy } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { describe } from "../oci/descriptor.ts";
import { isManifestType } from "../oci/media-types.ts";
import { parseReference } from "../oci/reference.ts";
import { contentOf, type Store } from "../oci/store.ts";
import { eachOf, Walk } from "../oci/walk.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { newId } from "./ids.ts";
import { keyReach, withheld } from "./key-reach.ts";
import type { ImageRelay } from "./rack.ts";
import type { RackStore } from "./rack-store.ts";

/** Images that are copied at once. */
const WIDTH = 2;
/** The longest reason a build row holds, in characters. */
const LONGEST_REASON = 500;

/** Completes a build whose images a client has pushed: every service's must be here, whole. */
export async function pinPushed(
  parts: EmbeddedParts,
  app: string,
  id: string,
  steps: BuildStep[] = [],
): Promise<void> {
  await parts.store(app).lease(async (store) => {
    const images = new Map<string, Descriptor>();
    for (const service of await servicesOf(parts, app, id)) {
      const image = await store.resolve(`${service.name}.${id}`).catch((error: unknown) => {
        if (!hasCode(error, "not-found")) throw error;
        throw new DavitError(
          "conflict",
          `Cannot complete build ${id}: there is no image of service ${service.name}`,
          {
            cause: error,
            hint: `push it as ${app}:${service.name}.${id}`,
          },
        );
      });
      await requireWhole(store, [image], `Cannot complete build ${id}`);
      images.set(service.name, image);
    }
    await pin(parts, store, app, id, images, "external", steps);
  });
}

/** An image that is in a registry already. */
export interface ImageSource {
  image: string;
  credentials?: Credentials | undefined;
  /** A deploy key asked for it: it is fetched within the key's reach. */
  byKey?: boolean;
}

/** Completes a build with images that are in registries already: the services' own, else the one that is named. */
export async function pinImage(
  parts: EmbeddedParts,
  app: string,
  id: string,
  { image, credentials, byKey = false }: ImageSource,
): Promise<void> {
  const redactor = new Redactor();
  if (credentials) redactor.add(credentials.password);
  try {
    const { RegistryStore } = await import("../oci/registry-store.ts");
    const given = parseReference(image);
    const reach = byKey ? await keyReach(parts, app) : undefined;
    await parts.store(app).lease(async (store) => {
      const images = new Map<string, Descriptor>();
      await eachOf(await servicesOf(parts, app, id), WIDTH, async (service) => {
        const reference = service.image === undefined ? given : parseReference(service.image);
        const own = reference.host === given.host ? credentials : undefined;
        const login = own ?? (await parts.logins.forApp(app, reference.host));
        try {
          reach?.requireOwn(reference);
          const source = new RegistryStore(reference, { env: parts.env, reach, credentials: login });
          const root = await source.resolve(reference.digest ?? reference.tag ?? "latest");
          images.set(service.name, await copy(source, root, store));
        } catch (error) {
          throw reach ? withheld(service.image ?? image, error) : error;
        }
      });
      await pin(parts, store, app, id, images, "import-image");
    });
  } catch (error) {
    await parts.ledger.builds.fail(id, redactor.redact(reasonOf(error)).slice(0, LONGEST_REASON));
  }
}

/** A build of an image in a registry, from its row to its end; returns its id. */
export async function relayEmbedded(parts: EmbeddedParts, app: string, relay: ImageRelay): Promise<string> {
  requireImage(relay.image);
  const { builds } = parts.ledger;
  const description = relay.description ?? "";
  const made = { app, description, gitSha: "", wildcardDomain: false };
  const { id } = await builds.create({ id: newId("B", parts.random), ...made });
  relay.onStep?.(`Relaying image ${relay.image}`);
  await builds.note(app, id, { manifest: relay.manifest, status: "running" });
  await pinImage(parts, app, id, relay);
  const { status, reason } = await builds.find(app, id);
  if (status !== "complete") throw new DavitError("build-failed", `import failed: ${reason}`);
  return id;
}

/** What `convox.yml` of a build says of its services. */
export async function servicesOf(
  parts: EmbeddedParts,
  app: string,
  id: string,
): Promise<{ name: string; image: string | undefined }[]> {
  const { manifest } = await parts.ledger.builds.find(app, id);
  if (manifest.trim() === "")
    throw new DavitError("invalid", `Cannot use build ${id}: it has no manifest yet`);
  const env = await parts.releases.currentEnv(app);
  const { services } = await loadConvoxYml(manifest, "convox.yml", env);
  if (services.length === 0) throw new DavitError("invalid", "the manifest defines no services");
  return services.map(({ name, image }) => ({ name, image }));
}

/** Roots must be manifests, and everything below them must be there. */
export async function requireWhole(store: Store, roots: readonly Descriptor[], what: string): Promise<void> {
  const walk = new Walk(store, {
    enter: async (node) => {
      if ((await store.exists(node)) === "yes") return true;
      throw new DavitError("conflict", `${what}: ${node.digest} has not been pushed`);
    },
  });
  for (const root of roots) {
    if (!isManifestType(root.mediaType))
      throw new DavitError("conflict", `${what}: ${root.digest} is no manifest`);
    await walk.from(root);
  }
}

async function pin(
  parts: EmbeddedParts,
  store: RackStore,
  app: string,
  id: string,
  images: Map<string, Descriptor>,
  engine: string,
  steps: BuildStep[] = [],
): Promise<void> {
  const row = await parts.ledger.builds.find(app, id);
  const ended = parts.now().toISOString();
  const log = await logOf(parts, store, app, id);
  const record = {
    ...{ id, app, description: row.description, "git-sha": row.git_sha, entrypoint: row.entrypoint },
    ...{ "wildcard-domain": row.wildcard_domain === 1, started: row.started, ended, engine },
    ...(steps.length > 0 ? { steps } : {}),
  };
  const index = await putBuild(store, record, row.manifest, log, images);
  await store.nameBuild(id, index, images);
  const tags = [...images].map(([service, descriptor]) => ({ name: `${service}.${id}`, descriptor }));
  await parts.ledger.builds.pin({ id, app, index, log, tags, engine, ended });
}

/** The log that the client left as an object; an empty one where it left none. */
export async function logOf(
  parts: EmbeddedParts,
  store: Store,
  app: string,
  id: string,
): Promise<Descriptor> {
  const object = await parts.ledger.objects.find(app, logKey(id));
  if (object) return { mediaType: BUILD_LOG, ...object };
  const empty = describe(BUILD_LOG, new Uint8Array(0));
  await store.push(empty, contentOf(new Uint8Array(0)));
  return empty;
}

function logKey(build: string): string {
  return `build/${build}/logs`;
}

/** What Convox takes for an image's name. */
export function requireImage(image: string): void {
  const strange = /\/\/|[@:]-|:\/|\/-|@@|::|@:|:@|\/@|[:@/]$/.test(image);
  if (image === "") throw new DavitError("invalid", "image param required");
  if (strange || !/^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$/.test(image))
    throw new DavitError("invalid", `invalid image reference: ${image.slice(0, 300)}`);
  parseReference(image);
}
