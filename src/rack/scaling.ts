import type { Service } from "../manifest/convox-yml.ts";
import { checkJson, Type } from "../schema.ts";
import type { AppFact, FactChange } from "./app-fact-ledger.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import type { Scaling } from "./running.ts";

/** What somebody has set beside convox.yml, and every release keeps. */
const Changed = Type.Object({
  count: Type.Optional(Type.Integer({ minimum: 0 })),
  cpu: Type.Optional(Type.Integer({ minimum: 0 })),
  memory: Type.Optional(Type.Integer({ minimum: 0 })),
});

export function scaleFact(service: string): AppFact {
  return `scale ${service}`;
}

/** What was set of a service. */
export async function scalingOf(
  { ledger }: EmbeddedParts,
  app: string,
  service: string,
  facts: FactChange = {},
): Promise<Scaling> {
  const name = scaleFact(service);
  const text = facts[name] ?? (await ledger.appFacts.known(app, name));
  return text === undefined ? {} : checkJson(Changed, text, "the service's scale");
}

/**
 * A service as it is to run: with the scale that was set in place of that in convox.yml. `facts`
 * are about to be set.
 */
export async function scaled(
  parts: EmbeddedParts,
  app: string,
  service: Service,
  facts: FactChange = {},
): Promise<Service> {
  const { count, cpu, memory } = await scalingOf(parts, app, service.name, facts);
  const { scale } = service.running;
  const running = {
    ...service.running,
    scale: {
      min: count ?? scale.min,
      max: Math.max(count ?? scale.min, scale.max),
      cpu: cpu ?? scale.cpu,
      memory: memory ?? scale.memory,
    },
  };
  return { ...service, running };
}
