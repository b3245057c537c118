import { collect, decode } from "../bytes.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { describe } from "../oci/descriptor.ts";
import { MAX_MANIFEST, makeManifest, NO_IMAGE } from "../oci/manifest.ts";
import { mediaTypes } from "../oci/media-types.ts";
import { parseReference } from "../oci/reference.ts";
import { RegistryStore } from "../oci/registry-store.ts";
import { contentOf } from "../oci/store.ts";
import { check, Type } from "../schema.ts";
import type { RegistryHost } from "./registry-place.ts";

/** A repository that no app can have, for its name is reserved; and the name of the mark in it. */
const REPOSITORY = "rack";
const TAG = "owner";
const OWNER = "dev.davit.rack";
const NAME = "dev.davit.rack.name";

const Mark = Type.Object({
  annotations: Type.Object({ [OWNER]: Type.String(), [NAME]: Type.Optional(Type.String()) }),
});

/** Leaves the rack's mark in a registry, which shows that it can be written to and read. Another rack's prefix is refused. */
export async function claimPrefix(
  prefix: string,
  rack: { id: string; name: string },
  { env, login }: RegistryHost,
): Promise<void> {
  const reference = parseReference(`${prefix}/${REPOSITORY}`);
  const credentials = () => login(reference.host);
  const store = new RegistryStore(reference, { env, credentials, push: true });
  try {
    const owner = await ownerOf(store);
    if (owner === undefined) await mark(store, rack);
    else if (owner[OWNER] !== rack.id)
      throw new DavitError("conflict", `rack ${owner[NAME] ?? owner[OWNER]} keeps its content there`);
  } catch (error) {
    const hint = hasCode(error, "conflict")
      ? "choose another prefix"
      : error instanceof DavitError && error.hint;
    throw new DavitError(
      error instanceof DavitError ? error.code : "registry",
      `Cannot keep content in ${prefix}: ${reasonOf(error)}`,
      { cause: error, ...(hint ? { hint } : {}) },
    );
  }
}

async function ownerOf(store: RegistryStore): Promise<(typeof Mark)["static"]["annotations"] | undefined> {
  try {
    const found = await store.resolve(TAG);
    const text = decode(await collect(await store.fetch(found), MAX_MANIFEST, "the rack's mark"));
    const wire: unknown = JSON.parse(text);
    return check(Mark, wire, "the rack's mark").annotations;
  } catch (error) {
    if (hasCode(error, "not-found")) return undefined;
    throw error;
  }
}

async function mark(store: RegistryStore, { id, name }: { id: string; name: string }): Promise<void> {
  const config = describe(mediaTypes.ociConfig, NO_IMAGE);
  await store.push(config, contentOf(NO_IMAGE));
  const made = makeManifest(mediaTypes.ociManifest, {
    config,
    layers: [],
    annotations: { [OWNER]: id, [NAME]: name },
  });
  await store.push(made.descriptor, contentOf(made.bytes));
  await store.tag(made.descriptor, TAG);
  await ownerOf(store);
}
