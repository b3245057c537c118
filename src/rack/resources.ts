import { DavitError, reasonOf } from "../errors.ts";
import type { ConvoxYml } from "../manifest/convox-yml.ts";
import { linkOf, type Resource, variableOf } from "../manifest/resources.ts";
import type { Running as ServiceRunning } from "../manifest/running.ts";
import { fullName, parseReference } from "../oci/reference.ts";
import { resourceImage, resourceService, resourceUrl, resourceVariables } from "../runtime/resources.ts";
import type { RunningService, Runtime } from "../runtime/runtime.ts";
import { resourceSecret } from "./app-secrets.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";

/**
 * A release's resources: those that run here, and where each is. One whose URL stands in
 * the app's env runs elsewhere.
 */
export class AppResources {
  readonly #parts: EmbeddedParts;
  readonly #app: string;
  readonly #env: Record<string, string>;

  constructor(parts: EmbeddedParts, app: string, env: Record<string, string>) {
    this.#parts = parts;
    this.#app = app;
    this.#env = env;
  }

  isElsewhere({ name }: Resource): boolean {
    return (this.#env[variableOf(name)] ?? "") !== "";
  }

  async url(resource: Resource): Promise<string> {
    const given = this.#env[variableOf(resource.name)];
    return given || resourceUrl(resource, await this.#password(resource));
  }

  async #password({ name }: Resource): Promise<string> {
    const id = await this.#parts.ledger.apps.id(this.#app);
    return await this.#parts.settings.secret(resourceSecret(id, name));
  }

  async services(runtime: Runtime, { resources }: ConvoxYml): Promise<RunningService[]> {
    const own = resources.filter((resource) => !this.isElsewhere(resource));
    return await Promise.all(
      own.map(async (resource) => {
        const { service, env } = resourceService(resource, await this.#password(resource));
        return { service, env, image: await this.#image(runtime, resource), lasting: true, here: true };
      }),
    );
  }

  /** The id of a resource's image in the engine, which pulls it once. It is asked for by its full name: a short one could be the beginning of another image's id. */
  async #image(runtime: Runtime, resource: Resource): Promise<string> {
    const name = fullName(parseReference(resourceImage(resource)));
    const there = await runtime.findImage(name);
    if (there !== undefined) return there;
    const { host: serveraddress } = parseReference(name);
    const login = await this.#parts.logins.forApp(this.#app, serveraddress);
    try {
      await runtime.pullImage(name, login && { ...login, serveraddress });
    } catch (cause) {
      throw new DavitError(
        "unavailable",
        `Cannot pull ${name} for resource ${resource.name}: ${reasonOf(cause)}`,
        {
          cause,
          hint: "name one that this engine can reach: `image:` of the resource",
        },
      );
    }
    return (await runtime.findImage(name)) ?? name;
  }

  /** What a service is told of those it uses. */
  async variables({ resources }: ConvoxYml, running: ServiceRunning): Promise<Record<string, string>> {
    const told = await Promise.all(
      running.resources.map(linkOf).map(async ({ resource, variable }) => {
        const found = resources.find(({ name }) => name === resource);
        return found ? resourceVariables(variable, await this.url(found)) : {};
      }),
    );
    return Object.assign({}, ...told);
  }
}
