import type { ConvoxYml, Service } from "../manifest/convox-yml.ts";

/** What the rack itself tells every container. */
export interface Told {
  app: string;
  build: string;
  description: string;
  rack: string;
  release: string;
}

/**
 * The variables of a service's containers: those it declares, with the release's values or
 * the declared defaults; with `*` all of the release. What the rack tells comes last.
 */
export function environmentOf(
  manifest: ConvoxYml,
  service: Service,
  env: Record<string, string>,
  told: Told,
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const item of [...manifest.environment, ...service.environment]) {
    const [name = "", fallback] = item.split(/=(.*)/s);
    if (name === "*") Object.assign(found, env);
    else if (Object.hasOwn(env, name)) found[name] = env[name] ?? "";
    else if (fallback !== undefined) found[name] ??= fallback;
  }
  const port = service.port.replace(/^[a-z]+:/, "");
  return {
    ...found,
    APP: told.app,
    BUILD: told.build,
    BUILD_DESCRIPTION: told.description,
    RACK: told.rack,
    RELEASE: told.release,
    SERVICE: service.name,
    ...(port === "" ? {} : { PORT: port }),
  };
}
