import { DavitError, reasonOf } from "../errors.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { RouterSettings } from "../runtime/swarm-router.ts";
import { type AppRoutes, routesOf } from "./domains.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { effectiveParams } from "./params.ts";

const TLS = ["off", "acme", "internal", "given"] as const;

/** How the rack's router is set; undefined where it has none. */
export async function routerSettings({ settings }: EmbeddedParts): Promise<RouterSettings | undefined> {
  return routerSettingsOf(await effectiveParams(settings));
}

/** The same, of parameters that are not set yet. Throws where they contradict each other. */
export function routerSettingsOf(params: Record<string, string>): RouterSettings | undefined {
  const { RouterDomain: domain, RouterImage: image = "", RouterTls = "off" } = params;
  if (!domain) return undefined;
  const { RouterCertificate: certificate = "", RouterKey: key = "" } = params;
  const tls = TLS.find((one) => one === RouterTls);
  if (tls === undefined || (tls === "given" && (certificate === "" || key === "")))
    throw new DavitError(
      "invalid",
      `RouterTls is ${RouterTls}, and RouterCertificate or RouterKey is not set`,
    );
  const [http, https] = [Number(params["RouterHttpPort"]), Number(params["RouterHttpsPort"])];
  return { domain, image, tls, http, https, ...(tls === "given" ? { given: { certificate, key } } : {}) };
}

/** Before the first app leaves the network that all had, the router is one that finds it afterwards. */
export async function replaceOldRouter(parts: EmbeddedParts, runtime: Runtime): Promise<void> {
  if (await runtime.hasOldRouter()) await publishRoutes(parts, runtime);
}

/**
 * Tells the router the routes of all apps' active releases; without a domain there is no router. A
 * route that cannot be told is left out, and is on record as its app's problem.
 */
export async function publishRoutes(parts: EmbeddedParts, runtime: Runtime): Promise<void> {
  const settings = await routerSettings(parts);
  if (!settings) return void (await runtime.route([], undefined));
  const apps = (await parts.ledger.apps.list()).filter(({ release }) => release !== "");
  const found = new Map<string, AppRoutes>();
  for (const { name, release } of apps)
    found.set(
      name,
      await routesOf(parts, name, release).catch((error: unknown) => ({
        routes: [],
        problems: [reasonOf(error)],
      })),
    );
  const routes = [...found.values()].flatMap((one) => one.routes);
  const refused = await runtime.route(routes, settings);
  for (const [app, { problems }] of found) {
    const all = [...problems, ...refused.filter((one) => one.app === app).map(({ problem }) => problem)];
    const text = all.length > 0 ? `Not all of app ${app} is routed: ${all.join("; ")}` : "";
    await parts.ledger.appFacts.put(app, "unrouted", text);
    if (text !== "") await parts.after.warn(`the routes of ${app}`, text);
  }
}
