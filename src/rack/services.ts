import { DavitError } from "../errors.ts";
import { type ConvoxYml, loadConvoxYml } from "../manifest/convox-yml.ts";
import { resourceHost } from "../manifest/resources.ts";
import { hostOf, isRouted } from "../runtime/router-config.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import { routerDomain } from "./params.ts";
import { startPromotion } from "./promoting.ts";
import { AppResources } from "./resources.ts";
import type { Process, ResourceInfo, Scaling, ServiceInfo } from "./running.ts";
import { scaled, scaleFact, scalingOf } from "./scaling.ts";

/** The services of the active release. */
export async function servicesOf(parts: EmbeddedParts, app: string): Promise<ServiceInfo[]> {
  const { manifest } = await activeRelease(parts, app);
  const router = await routerDomain(parts);
  return await Promise.all(
    manifest.services.map(async (service) => {
      const { name, port, running } = await scaled(parts, app, service);
      const { scale, domains } = running;
      const container = Number(port.replace(/^[a-z]+:/, ""));
      return {
        ...{ name, count: scale.min, cpu: scale.cpu, memory: scale.memory },
        domain: router && isRouted(service) ? (domains[0] ?? hostOf({ app, service }, router)) : "",
        ports: container > 0 ? [container] : [],
      };
    }),
  );
}

/** The resources of the active release. */
export async function resourcesOf(
  parts: EmbeddedParts,
  app: string,
  processes: readonly Process[],
): Promise<ResourceInfo[]> {
  const { manifest, env } = await activeRelease(parts, app);
  const resources = new AppResources(parts, app, env);
  return await Promise.all(
    manifest.resources.map(async (resource) => {
      const { name, type } = resource;
      const mine = processes.filter(({ service }) => service === resourceHost(name));
      const here = mine.some(({ status }) => status === "running") ? "running" : "pending";
      const status = resources.isElsewhere(resource) ? "elsewhere" : here;
      return { name, type, status, url: await resources.url(resource) };
    }),
  );
}

/** Nothing at all where none was promoted. */
async function activeRelease(
  parts: EmbeddedParts,
  app: string,
): Promise<{ manifest: Pick<ConvoxYml, "services" | "resources">; env: Record<string, string> }> {
  const { release } = await parts.ledger.apps.find(app);
  if (release === "") return { manifest: { services: [], resources: [] }, env: {} };
  const { manifest, ...text } = await parts.releases.read(await parts.ledger.releases.find(app, release));
  const env = parseEnv(text.env);
  return { manifest: await loadConvoxYml(manifest, "convox.yml", env), env };
}

/** Changes how much of a service runs, and brings what runs to it; where that fails, all stays as it was. */
export async function scaleService(
  parts: EmbeddedParts,
  app: string,
  service: string,
  change: Scaling,
): Promise<void> {
  if (!(await servicesOf(parts, app)).some(({ name }) => name === service))
    throw new DavitError("not-found", `no such service: ${service}`, {
      hint: `see \`davit services -a ${app}\``,
    });
  const set = { ...(await scalingOf(parts, app, service)), ...change };
  const { release } = await parts.ledger.apps.find(app);
  const facts = { [scaleFact(service)]: JSON.stringify(set) };
  await (await startPromotion(parts, app, release, {}, facts)).done;
}
