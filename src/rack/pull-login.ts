import { timingSafeEqual } from "node:crypto";
import type { RegistryAuth } from "../docker-api/images.ts";
import { hasCode } from "../errors.ts";
import { pullSecret } from "./app-secrets.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";

const USER = "pull+";

/**
 * What nodes pull an app's images with, and nothing else can be done with. It lasts: they
 * pull again whenever Swarm moves a process, whether davit runs or not.
 */
export async function pullLogin(
  { ledger, settings }: Pick<EmbeddedParts, "ledger" | "settings">,
  app: string,
  serveraddress: string,
): Promise<RegistryAuth> {
  const password = await settings.secret(pullSecret(await ledger.apps.id(app)));
  return { username: `${USER}${app}`, password, serveraddress };
}

/** The app whose images a login may pull; undefined where it is none of these. */
export async function pullsOf(
  { ledger, settings }: Pick<EmbeddedParts, "ledger" | "settings">,
  { user, password }: { user: string; password: string },
): Promise<string | undefined> {
  if (!user.startsWith(USER)) return undefined;
  const app = user.slice(USER.length);
  const id = await ledger.apps.id(app).catch((error: unknown) => {
    if (!hasCode(error, "not-found")) throw error;
  });
  if (id === undefined) return undefined;
  const [expected, given] = [Buffer.from(await settings.secret(pullSecret(id))), Buffer.from(password)];
  return expected.length === given.length && timingSafeEqual(expected, given) ? app : undefined;
}
