import type { EngineImages } from "../docker-api/images.ts";
import { ownerText, parseOwner, stateOf, thisProcess } from "../owner.ts";

/** Where the images of builds under way are named. */
export const BUILDS = "davit-build";
/** Where they are named while they are pushed to us: `<loopback>:<port>/<rack id>/<app>`. */
const PUSHES = "127.0.0.1:*/*/*";

/** When a name that some other machine or container gave counts as left behind, in seconds. */
const ABANDONED_AFTER = 24 * 60 * 60;

/** A tag that names this process, which removes it; others cannot guess it. */
export function ownTag(): string {
  return `${ownerText(thisProcess())}.${crypto.randomUUID()}`;
}

/** Takes away the names that davits which are gone left in the engine. Names that are not of that form are never touched. */
export async function sweepTags(images: EngineImages, now: number): Promise<void> {
  for (const pattern of [BUILDS, PUSHES])
    for (const { name, created } of await images.names(pattern))
      if (isLeftBehind(name, created, now)) await images.remove(name);
}

function isLeftBehind(name: string, created: number, now: number): boolean {
  const owner = parseOwner(name.slice(name.lastIndexOf(":") + 1));
  if (!owner) return false;
  const seen = owner.boot === thisProcess().boot && stateOf(owner) !== "unknown";
  return seen ? stateOf(owner) === "gone" : now / 1000 - created > ABANDONED_AFTER;
}
