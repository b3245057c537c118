import { registryCredentials } from "../http/credentials.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { DOCKER_HUB } from "../oci/reference.ts";
import type { Env } from "./home.ts";
import type { RegistryLogin, Settings } from "./settings.ts";

/** How Docker Hub is called where its logins are kept. */
const HUB_SERVER = "https://index.docker.io/v1/";

/** Who the rack is to each registry: its own logins first, then what the machine it runs on knows. */
export class RegistryLogins {
  readonly #settings: Settings;
  readonly #env: Env;

  constructor(settings: Settings, env: Env) {
    this.#settings = settings;
    this.#env = env;
  }

  async find(host: string, signal?: AbortSignal): Promise<Credentials | undefined> {
    const own = (await this.list()).find(({ server }) => hostOf(server) === host);
    if (own) return { username: own.username, password: own.password };
    return await registryCredentials(host, { env: this.#env, signal });
  }

  /** The rack's own; Docker Hub's comes from the parameters unless it was added by itself. */
  async list(): Promise<RegistryLogin[]> {
    const [logins, params] = await Promise.all([this.#settings.registries(), this.#settings.params()]);
    const { docker_hub_username: username, docker_hub_password: password } = params;
    const known = logins.some(({ server }) => hostOf(server) === DOCKER_HUB);
    return known || !username || !password ? logins : [...logins, { server: HUB_SERVER, username, password }];
  }

  /** The value of the build argument BUILD_AUTH. */
  async buildAuth(): Promise<string> {
    const entries = (await this.list()).map(({ server, username, password }) => [
      server,
      { Username: username, Password: password },
    ]);
    return JSON.stringify(Object.fromEntries(entries));
  }
}

/** The host that a server means, written as people do: with a scheme, `/v1/`, or Docker Hub's old names. */
export function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return /^((index|registry-1|www)\.)?docker\.io$/.test(host) ? DOCKER_HUB : host;
}
