import { DavitError, hasCode } from "../errors.ts";
import type { Reach } from "../http/reach.ts";
import type { Reference } from "../oci/reference.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { IMPORT_FROM, REGISTRY, REGISTRY_HOST } from "./params.ts";
import { hostOf } from "./registry-logins.ts";

/** Where the rack may fetch from what a deploy key names: the key must not reach into the rack's network this way. */
export interface KeyReach extends Reach {
  /** Throws `denied` for images of other apps in the rack, and in the registry that it keeps its content in. */
  requireOwn(reference: Reference): void;
}

/** The public Internet, the registries that the app is logged in to, and what `ImportFrom` names. */
export async function keyReach(
  { settings, logins }: Pick<EmbeddedParts, "settings" | "logins">,
  app: string,
): Promise<KeyReach> {
  const allowed = await settings.param(IMPORT_FROM);
  const places = [await settings.param(REGISTRY), await settings.param(REGISTRY_HOST)].filter(Boolean);
  const known = (await logins.ofApp(app)).map(({ server }) => hostOf(server));
  return {
    hosts: [...allowed.split(","), ...known].filter((host) => host !== ""),
    requireOwn({ host, repository }) {
      const name = `${host}/${repository}`;
      if (places.some((place) => name.startsWith(`${place}/`) && name !== `${place}/${app}`))
        throw new DavitError("denied", "the image belongs to another app");
    },
  };
}

/**
 * One error in place of all that can go wrong with a fetch for a deploy key: it must not find out
 * whether somebody listens there, and what is there. Errors of this machine stay as they are.
 */
export function withheld(what: string, error: unknown): unknown {
  if (hasCode(error, "interrupted", "no-space", "io")) return error;
  return new DavitError("denied", `Cannot fetch ${what}: it is not there, or not for this login`, {
    cause: error,
  });
}
