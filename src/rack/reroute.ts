import { hasCode, reasonOf } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { startPromotion } from "./promoting.ts";

/**
 * Promotes apps again that an earlier davit has started, where the router would not find them, or
 * in a network of all apps. One that fails keeps no other from it; one that may not run here any
 * more runs on as it is, and that is its problem.
 */
export async function rerouteAll(parts: EmbeddedParts, runtime: Runtime): Promise<void> {
  const [failures, toMove]: [unknown[], string[]] = [[], await runtime.appsToMove()];
  for (const { name, release, status } of await parts.ledger.apps.list())
    if (release !== "" && status !== "deleting" && toMove.includes(name))
      await startPromotion(parts, name, release, {})
        .then(({ done }) => done)
        .catch(async (error: unknown) => {
          if (hasCode(error, "denied", "invalid"))
            await parts.ledger.appFacts.put(name, "unpromoted", reasonOf(error));
          else failures.push(error);
        });
  if (failures.length > 0) throw failures[0];
}
