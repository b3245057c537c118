import type { Runtime } from "../runtime/runtime.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { effectiveParams } from "./params.ts";
import { startPromotion } from "./promoting.ts";
import { publishRoutes, routerSettings } from "./routing.ts";

/** Changes the router's parameters, and then what runs: services join its network, or leave it. */
export async function reroute(
  parts: EmbeddedParts,
  runtime: Runtime,
  change: () => Promise<void>,
): Promise<void> {
  const had = (await effectiveParams(parts.settings))["RouterDomain"] !== undefined;
  await change();
  const has = (await routerSettings(parts)) !== undefined;
  const running = (await parts.ledger.apps.list()).filter(({ release }) => release !== "");
  for (const { name, release } of had === has ? [] : running)
    await (await startPromotion(parts, name, release, {})).done;
  await publishRoutes(parts, runtime);
}
