import type { EmbeddedParts } from "./embedded-parts.ts";

/** What facts of layer caches begin with. */
const FACT = "cache ";
const DAY = 24 * 60 * 60 * 1000;

/** A build of an app uses the caches of these tags now: they are young again. */
export async function touchCaches(
  { ledger }: EmbeddedParts,
  app: string,
  tags: readonly string[],
): Promise<void> {
  for (const tag of tags) await ledger.appFacts.set(app, `${FACT}${tag}`, ledger.now().toISOString());
}

/** Drops layer caches that no build has used for BuildCacheRetentionDays, where BuildCacheCleanup says so. Returns how many. */
export async function expireCaches({ ledger, settings }: EmbeddedParts): Promise<number> {
  if ((await settings.param("BuildCacheCleanup")) !== "Yes") return 0;
  const days = Number((await settings.param("BuildCacheRetentionDays")) || "30");
  const oldest = ledger.now().getTime() - days * DAY;
  let dropped = 0;
  for (const fact of await ledger.appFacts.beginning(FACT)) {
    if (Date.parse(fact.value) >= oldest) continue;
    // Gone first, so that a build that begins now finds its cache again or makes a new one.
    if (!(await ledger.appFacts.drop(fact))) continue;
    if (await ledger.registry.deleteTag(fact.app, fact.name.slice(FACT.length))) dropped++;
  }
  if (dropped > 0) await ledger.duties.owe("collect");
  return dropped;
}
