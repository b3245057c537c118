import type { Runtime } from "../runtime/runtime.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { startPromotion } from "./promoting.ts";
import { publishRoutes, routerSettings } from "./routing.ts";

/** After a change of the router's parameters: services join its network or leave it, and it is told anew. */
export async function reroute(parts: EmbeddedParts, runtime: Runtime, hadRouter: boolean): Promise<void> {
  const hasRouter = (await routerSettings(parts)) !== undefined;
  const running = (await parts.ledger.apps.list()).filter(({ release }) => release !== "");
  for (const { name, release } of hadRouter === hasRouter ? [] : running)
    await (await startPromotion(parts, name, release, {})).done;
  await publishRoutes(parts, runtime);
}
