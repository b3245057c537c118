import { DavitError } from "../errors.ts";
import { type ConvoxYml, loadConvoxYml } from "../manifest/convox-yml.ts";
import { covers, hostNameFault } from "../manifest/host-name.ts";
import { hostOf, isRouted, type Route } from "../runtime/router-config.ts";
import type { Domain } from "./domain-ledger.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import { routerDomain } from "./params.ts";

/** What of a release decides its host names. */
export interface NamedRelease {
  manifest: ConvoxYml;
  /** The domain below which services have names of their own; "" where there is no router. */
  router: string;
  /** Whether it was built with a wildcard for each service. */
  wildcard: boolean;
}

export async function namedRelease(parts: EmbeddedParts, app: string, id: string): Promise<NamedRelease> {
  const release = await parts.releases.read(await parts.ledger.releases.find(app, id));
  const { env, build } = release;
  const built = build === "" ? undefined : await parts.ledger.builds.find(app, build);
  return {
    manifest: await loadConvoxYml(release.manifest, "convox.yml", parseEnv(env)),
    router: await routerDomain(parts),
    wildcard: built?.wildcard_domain === 1,
  };
}

/** The names of a release that another app could have too, each once. */
function domainsOf(app: string, { manifest, router, wildcard }: NamedRelease): Domain[] {
  const found = manifest.services
    .filter(isRouted)
    .flatMap((service): Domain[] => [
      ...service.running.domains
        .filter((name) => name !== hostOf({ app, service }, router))
        .map((name) => ({ name, service: service.name, generated: false })),
      ...(wildcard && router !== ""
        ? [{ name: `*.${app}-${service.name}.${router}`, service: service.name, generated: true }]
        : []),
    ]);
  return [...new Map(found.map((domain) => [domain.name, domain])).values()];
}

/** Claims a release's names for its app. Claims none and throws `conflict`, naming the owner, where one belongs to another app. */
export async function claimDomains(
  parts: EmbeddedParts,
  app: string,
  id: string,
  release: NamedRelease,
): Promise<void> {
  const wanted = domainsOf(app, release);
  const { domains } = parts.ledger;
  const faults = wanted.flatMap((domain) => {
    const fault = reservedFault(app, domain, release.router);
    return fault === undefined ? [] : [problemOf(domain, fault)];
  });
  for (const owner of new Set((await domains.taken(app, wanted)).map((one) => one.owner)))
    await freeUnused(parts, owner);
  const taken = faults.length > 0 ? await domains.taken(app, wanted) : await domains.claim(app, wanted);
  faults.push(...taken.map((domain) => problemOf(domain, `it is app ${domain.owner}'s`)));
  if (faults.length > 0)
    throw new DavitError("conflict", `Cannot promote ${id}: ${faults.join("; ")}`, {
      hint: "name others; a name is free again once the app that has it runs a release without it",
    });
}

function problemOf({ name, service }: Domain, fault: string): string {
  return `service ${service}: domain ${JSON.stringify(name)}: ${fault}`;
}

/** Why an app may not have a name at or below the router's domain, or undefined: `*.APP.DOMAIN` is APP's. */
function reservedFault(app: string, { name, generated }: Domain, router: string): string | undefined {
  if (router === "" || generated) return undefined;
  if (covers(name, router)) return "it is the rack's own";
  if (!name.endsWith(`.${router}`)) return undefined;
  const owner =
    name
      .slice(0, -router.length - 1)
      .split(".")
      .at(-1) ?? "";
  if (owner === app) return undefined;
  return owner === "*" ? "it is the rack's own" : `it is app ${owner}'s`;
}

/** Frees the names that an app has claimed, but that no release of it names which runs or is on its way. */
async function freeUnused(parts: EmbeddedParts, app: string): Promise<void> {
  const releases = await parts.ledger.domains.releases(app);
  const named = await Promise.all(releases.map((id) => namedRelease(parts, app, id)));
  const names = named.flatMap((release) => domainsOf(app, release)).map(({ name }) => name);
  await parts.ledger.domains.keep(app, releases, names);
}

/** An app's routes, and why some of its names are left out of them. */
export interface AppRoutes {
  routes: Route[];
  problems: string[];
}

/**
 * The routes of a release that runs. A release that an earlier davit promoted has claimed no names:
 * it claims them here, as far as they are free. Names that break a rule are left out.
 */
export async function routesOf(parts: EmbeddedParts, app: string, id: string): Promise<AppRoutes> {
  const release = await namedRelease(parts, app, id);
  const problems: string[] = [];
  const names: Domain[] = [];
  for (const domain of domainsOf(app, release)) {
    const fault = hostNameFault(domain.name) ?? reservedFault(app, domain, release.router);
    const [taken] = fault === undefined ? await parts.ledger.domains.taken(app, [domain]) : [];
    if (fault === undefined && !taken) names.push(domain);
    else problems.push(problemOf(domain, fault ?? `it is app ${taken?.owner}'s`));
  }
  const known = new Set(
    (await parts.ledger.domains.list()).filter((one) => one.app === app).map(({ name }) => name),
  );
  const fresh = names.filter(({ name }) => !known.has(name));
  if (fresh.length > 0) await parts.ledger.domains.claim(app, fresh);
  const routes = release.manifest.services.filter(isRouted).map((service) => ({
    app,
    service,
    hosts: [
      hostOf({ app, service }, release.router),
      ...names.filter((domain) => domain.service === service.name).map(({ name }) => name),
    ],
  }));
  return { routes, problems };
}
