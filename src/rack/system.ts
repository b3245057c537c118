import { isConsent, withAdditions } from "./consent.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { MOVING } from "./mover.ts";
import { checkParams, effectiveParams, isRouterParam, REGISTRY, routerDomain } from "./params.ts";
import { OWN } from "./place-ledger.ts";
import type { System } from "./rack.ts";

/** The version the rack reports: what `convox` clients expect of a current one. */
const RACK_VERSION = "3.24.6";

/** What a rack says of itself. */
export async function describeRack({ name, settings, ledger }: EmbeddedParts): Promise<System> {
  const parameters = await effectiveParams(settings);
  const moving = await ledger.known(MOVING);
  const left = moving ? await ledger.places.countElsewhere(parameters[REGISTRY] ?? OWN) : undefined;
  return {
    ...{ name, provider: "local", status: "running", version: RACK_VERSION, region: "", count: 1 },
    domain: await routerDomain({ settings }),
    parameters,
    outputs: left ? { moving: `${left.blobs} ${left.bytes}` } : {},
  };
}

/** Changes parameters, all or none, and what depends on them. */
export async function changeParams(parts: EmbeddedParts, wanted: Record<string, string>): Promise<void> {
  const params = await parts.settings.params();
  const changes = Object.fromEntries(
    Object.entries(wanted).map(([name, value]) => [
      name,
      isConsent(name) ? withAdditions(params[name] ?? "", value) : value,
    ]),
  );
  checkParams(changes);
  const prefix = changes[REGISTRY];
  if (prefix) await claim(parts, prefix);
  const hadRouter = (await routerDomain(parts)) !== "";
  await parts.settings.setParams(changes);
  const runtime = Object.keys(changes).some(isRouterParam) ? await parts.runtime() : undefined;
  if (runtime) await (await import("./reroute.ts")).reroute(parts, runtime, hadRouter);
  if (prefix !== undefined) await parts.ledger.setFact(MOVING, "yes");
}

/** A registry is tried before anything is sent to it, and a prefix is one rack's. */
async function claim({ id, name, env, logins }: EmbeddedParts, prefix: string): Promise<void> {
  const { claimPrefix } = await import("./registry-claim.ts");
  await claimPrefix(prefix, { id, name }, { env, login: (host) => logins.forRack(host) });
}
