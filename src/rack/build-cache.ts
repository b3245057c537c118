import type { EmbeddedParts } from "./embedded-parts.ts";

/** What facts of layer caches begin with; their values are when each was used last. */
const FACT = "cache ";
const DAY = 24 * 60 * 60 * 1000;

/** A build of an app uses the caches of these tags now: they are young again. */
export async function touchCaches(
  { ledger }: EmbeddedParts,
  app: string,
  tags: readonly string[],
): Promise<void> {
  for (const tag of tags) await ledger.setFact(`${FACT}${app}/${tag}`, ledger.now().toISOString());
}

/** Drops layer caches that no build has used for BuildCacheRetentionDays, where BuildCacheCleanup says so. Returns how many. */
export async function expireCaches({ ledger, settings, collector }: EmbeddedParts): Promise<number> {
  if ((await settings.param("BuildCacheCleanup")) !== "Yes") return 0;
  const days = Number((await settings.param("BuildCacheRetentionDays")) || "30");
  const oldest = ledger.now().getTime() - days * DAY;
  let dropped = 0;
  for (const { key, value } of await ledger.facts(FACT)) {
    if (Date.parse(value) >= oldest) continue;
    const [app = "", tag = ""] = key.slice(FACT.length).split("/");
    // Gone first, so that a build that begins now finds its cache again or makes a new one.
    if (!(await ledger.dropFact(key, value))) continue;
    if (await ledger.registry.deleteTag(app, tag)) dropped++;
  }
  if (dropped > 0) await collector.run();
  return dropped;
}
