import type { EmbeddedParts } from "./embedded-parts.ts";
import { startPromotion } from "./promoting.ts";

/** Has the services of all running apps join the router's network, or leave it; one that fails keeps no other from it. */
export async function rerouteAll(parts: EmbeddedParts): Promise<void> {
  const failures: unknown[] = [];
  for (const { name, release, status } of await parts.ledger.apps.list())
    if (release !== "" && status !== "deleting")
      await startPromotion(parts, name, release, {})
        .then(({ done }) => done)
        .catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
