import { registryCredentials } from "../http/credentials.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { DOCKER_HUB, parseReference } from "../oci/reference.ts";
import type { Env } from "./home.ts";
import { REGISTRY } from "./params.ts";
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

  /** The login for what the rack does for itself, whichever apps it is for. */
  async forRack(host: string, signal?: AbortSignal): Promise<Credentials | undefined> {
    return await this.#find(await this.all(), host, signal);
  }

  /** The login for what an app fetches: never one that is for other apps only. */
  async forApp(app: string, host: string, signal?: AbortSignal): Promise<Credentials | undefined> {
    const logins = await this.ofApp(app);
    const known = logins.some(({ server }) => hostOf(server) === host);
    if (!known && host === (await this.#home())) return undefined;
    return await this.#find(logins, host, signal);
  }

  /**
   * The host of the registry that keeps the content of all apps, if there is one. Its login
   * reads everybody's images, so an app gets it only where the login is for that app by name.
   */
  async #home(): Promise<string | undefined> {
    const place = await this.#settings.param(REGISTRY);
    return place === "" ? undefined : parseReference(`${place}/app`).host;
  }

  async #find(logins: RegistryLogin[], host: string, signal?: AbortSignal): Promise<Credentials | undefined> {
    const own = logins.find(({ server }) => hostOf(server) === host);
    if (own) return { username: own.username, password: own.password };
    return await registryCredentials(host, { env: this.#env, signal });
  }

  /** All logins of the rack, whichever apps they are for. */
  async all(): Promise<RegistryLogin[]> {
    const [logins, params] = await Promise.all([this.#settings.registries(), this.#settings.params()]);
    return withHub(logins, params);
  }

  /** The logins of the rack that an app's builds and fetches may use. */
  async ofApp(app: string): Promise<RegistryLogin[]> {
    const [logins, home] = await Promise.all([this.all(), this.#home()]);
    return logins.filter(({ server, apps }) =>
      apps === undefined ? hostOf(server) !== home : apps.includes(app),
    );
  }

  /** The value of the build argument BUILD_AUTH. */
  async buildAuth(app: string): Promise<string> {
    const entries = (await this.ofApp(app)).map(({ server, username, password }) => [
      server,
      { Username: username, Password: password },
    ]);
    return JSON.stringify(Object.fromEntries(entries));
  }
}

/** Docker Hub's login comes from the parameters unless it was added by itself. */
function withHub(logins: RegistryLogin[], params: Record<string, string>): RegistryLogin[] {
  const { docker_hub_username: username, docker_hub_password: password } = params;
  const known = logins.some(({ server }) => hostOf(server) === DOCKER_HUB);
  return known || !username || !password ? logins : [...logins, { server: HUB_SERVER, username, password }];
}

/** The host that a server means, written as people do: with a scheme, `/v1/`, or Docker Hub's old names. */
export function hostOf(server: string): string {
  const host = server.replace(/^https?:\/\//, "").split("/")[0] ?? "";
  return /^((index|registry-1|www)\.)?docker\.io$/.test(host) ? DOCKER_HUB : host;
}
