import { DavitError, hasCode } from "../errors.ts";
import type { Reach } from "../http/reach.ts";
import type { Reference } from "../oci/reference.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { IMPORT_FROM, REGISTRY } from "./params.ts";
import { hostOf } from "./registry-logins.ts";

/** From where the rack fetches what a deploy key names: it must not be the key's way into the rack's network. */
export interface KeyReach extends Reach {
  /** Refuses what other apps keep in the rack's own registry. */
  requireOwn(reference: Reference): void;
}

/** The public Internet, the registries that the app is logged in to, and what `ImportFrom` names. */
export async function keyReach(
  { settings, logins }: Pick<EmbeddedParts, "settings" | "logins">,
  app: string,
): Promise<KeyReach> {
  const [allowed, prefix] = [await settings.param(IMPORT_FROM), await settings.param(REGISTRY)];
  const known = (await logins.ofApp(app)).map(({ server }) => hostOf(server));
  return {
    hosts: [...allowed.split(","), ...known].filter((host) => host !== ""),
    requireOwn({ host, repository }) {
      const name = `${host}/${repository}`;
      if (prefix !== "" && name.startsWith(`${prefix}/`) && name !== `${prefix}/${app}`)
        throw new DavitError("denied", "the image belongs to another app");
    },
  };
}

/**
 * One error for all that went wrong with what a key named: whether somebody listens there,
 * and what is there, is not for it to find out.
 */
export function withheld(what: string, error: unknown): unknown {
  if (hasCode(error, "interrupted", "no-space", "io")) return error;
  return new DavitError("denied", `Cannot fetch ${what}: it is not there, or not for this login`, {
    cause: error,
  });
}
