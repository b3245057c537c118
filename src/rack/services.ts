import { DavitError } from "../errors.ts";
import { type ConvoxYml, loadConvoxYml } from "../manifest/convox-yml.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { parseEnv } from "./env-text.ts";
import { startPromotion } from "./promoting.ts";
import type { Scaling, ServiceInfo } from "./running.ts";
import { scaled, scaleFact, scalingOf } from "./scaling.ts";

/** The services of the active release. */
export async function servicesOf(parts: EmbeddedParts, app: string): Promise<ServiceInfo[]> {
  const manifest = await activeManifest(parts, app);
  return await Promise.all(
    (manifest?.services ?? []).map(async (service) => {
      const { name, port, running } = await scaled(parts, app, service);
      const { scale, domains } = running;
      const container = Number(port.replace(/^[a-z]+:/, ""));
      return {
        ...{ name, count: scale.min, cpu: scale.cpu, memory: scale.memory, domain: domains[0] ?? "" },
        ports: container > 0 ? [container] : [],
      };
    }),
  );
}

async function activeManifest(parts: EmbeddedParts, app: string): Promise<ConvoxYml | undefined> {
  const { release } = await parts.ledger.apps.find(app);
  if (release === "") return undefined;
  const { manifest, env } = await parts.releases.read(await parts.ledger.releases.find(app, release));
  return await loadConvoxYml(manifest, "convox.yml", parseEnv(env));
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
  const fact = scaleFact(app, service);
  const [before, set] = [await parts.ledger.known(fact), await scalingOf(parts, app, service)];
  await parts.ledger.setFact(fact, JSON.stringify({ ...set, ...change }));
  const { release } = await parts.ledger.apps.find(app);
  try {
    await (await startPromotion(parts, app, release, {})).done;
  } catch (error) {
    await parts.ledger.setFact(fact, before ?? "{}");
    throw error;
  }
}
