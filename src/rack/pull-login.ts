import { timingSafeEqual } from "node:crypto";
import type { RegistryAuth } from "../docker-api/images.ts";
import { hasCode } from "../errors.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";

const USER = "pull+";

/**
 * What nodes pull an app's images with, and nothing else can be done with. It lasts: they
 * pull again whenever Swarm moves a process, whether davit runs or not.
 */
export async function pullLogin(
  { settings }: Pick<EmbeddedParts, "settings">,
  app: string,
  serveraddress: string,
): Promise<RegistryAuth> {
  return { username: `${USER}${app}`, password: await settings.secret(secretOf(app)), serveraddress };
}

/** The app whose images a login may pull; undefined where it is none of these. */
export async function pullsOf(
  { ledger, settings }: Pick<EmbeddedParts, "ledger" | "settings">,
  { user, password }: { user: string; password: string },
): Promise<string | undefined> {
  if (!user.startsWith(USER)) return undefined;
  const app = user.slice(USER.length);
  const known = await ledger.apps.find(app).catch((error: unknown) => {
    if (!hasCode(error, "not-found")) throw error;
  });
  if (!known) return undefined;
  const [expected, given] = [Buffer.from(await settings.secret(secretOf(app))), Buffer.from(password)];
  return expected.length === given.length && timingSafeEqual(expected, given) ? app : undefined;
}

function secretOf(app: string): string {
  return `pull/${app}`;
}
