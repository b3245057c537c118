import { isConsent, withAdditions } from "./consent.ts";
import type { Duty } from "./duty-ledger.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { MOVING } from "./mover.ts";
import {
  checkParams,
  effectiveParams,
  IMPORT_FROM,
  isRouterParam,
  REGISTRY,
  RUNTIME,
  routerDomain,
  withDefaults,
} from "./params.ts";
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
      isConsent(name) || name === IMPORT_FROM ? withAdditions(params[name] ?? "", value) : value,
    ]),
  );
  checkParams(changes);
  const prefix = changes[REGISTRY];
  if (prefix) await claim(parts, prefix);
  if (Object.keys(changes).some(isRouterParam)) await checkRouter(parts, changes);
  const { RouterDomain: domain } = changes;
  const joins =
    RUNTIME in changes || (domain !== undefined && (domain === "") !== ((await routerDomain(parts)) === ""));
  const duties: Duty[] = Object.keys(changes).some(isRouterParam) ? ["routes"] : [];
  await parts.settings.setParams(changes, {
    duties: joins ? ["reroute", ...duties] : duties,
    // Content moves, from wherever it is by then.
    ...(prefix === undefined ? {} : { facts: { [MOVING]: crypto.randomUUID() } }),
  });
}

/** What of the router's does not go together is refused before it is set. */
async function checkRouter({ settings }: EmbeddedParts, changes: Record<string, string>): Promise<void> {
  const { routerSettingsOf } = await import("./routing.ts");
  const set = Object.entries({ ...(await settings.params()), ...changes }).filter(
    ([, value]) => value !== "",
  );
  routerSettingsOf(withDefaults(Object.fromEntries(set)));
}

/** A registry is tried before anything is sent to it, and a prefix is one rack's. */
async function claim({ id, name, env, logins }: EmbeddedParts, prefix: string): Promise<void> {
  const { claimPrefix } = await import("./registry-claim.ts");
  await claimPrefix(prefix, { id, name }, { env, login: (host) => logins.forRack(host) });
}
