import { DavitError } from "../errors.ts";
import { loadConvoxYml } from "../manifest/convox-yml.ts";
import { isRouted, type Route } from "../runtime/router-config.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { RouterSettings } from "../runtime/swarm-router.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import { effectiveParams } from "./params.ts";

const TLS = ["off", "acme", "internal", "given"] as const;

/** How the rack's router is set; undefined where it has none. */
export async function routerSettings({ settings }: EmbeddedParts): Promise<RouterSettings | undefined> {
  return routerSettingsOf(await effectiveParams(settings));
}

/** The same of parameters that nobody has set yet; throws where they do not go together. */
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

/** Tells the router what all apps' active releases let the world in to; without a domain there is none. */
export async function publishRoutes(parts: EmbeddedParts, runtime: Runtime): Promise<void> {
  const settings = await routerSettings(parts);
  await runtime.route(settings ? await routesOf(parts) : [], settings);
}

async function routesOf(parts: EmbeddedParts): Promise<Route[]> {
  const apps = await parts.ledger.apps.list();
  const active = apps.filter(({ release }) => release !== "");
  const routes = await Promise.all(active.map(({ name, release }) => routesOfRelease(parts, name, release)));
  return routes.flat();
}

async function routesOfRelease(parts: EmbeddedParts, app: string, id: string): Promise<Route[]> {
  const { manifest, env, build } = await parts.releases.read(await parts.ledger.releases.find(app, id));
  const { services } = await loadConvoxYml(manifest, "convox.yml", parseEnv(env));
  const built = build === "" ? undefined : await parts.ledger.builds.find(app, build);
  const wildcard = built?.wildcard_domain === 1;
  return services.filter(isRouted).map((service) => ({ app, service, wildcard }));
}
