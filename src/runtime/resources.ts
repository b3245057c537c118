import { DavitError } from "../errors.ts";
import type { Service } from "../manifest/convox-yml.ts";
import { type Resource, resourceHost, variableOf } from "../manifest/resources.ts";

interface Kind {
  /** Of Docker Hub. */
  image: string;
  version: string;
  port: number;
  /** Where its data lies. */
  data?: string;
  /** What a container of the stock image wants to be told. */
  env?: (password: string) => Record<string, string>;
  command?: string;
  url: (host: string, password: string) => string;
}

/** Both the user's name and the database's. */
const NAME = "app";

const POSTGRES = {
  port: 5432,
  data: "/var/lib/postgresql/data",
  env: (password: string) => ({ POSTGRES_USER: NAME, POSTGRES_DB: NAME, POSTGRES_PASSWORD: password }),
  url: (host: string, password: string) => `postgres://${NAME}:${password}@${host}:5432/${NAME}`,
};

const MYSQL = {
  port: 3306,
  data: "/var/lib/mysql",
  env: (password: string) => ({
    MYSQL_USER: NAME,
    MYSQL_DATABASE: NAME,
    MYSQL_PASSWORD: password,
    MYSQL_ROOT_PASSWORD: password,
  }),
  url: (host: string, password: string) => `mysql://${NAME}:${password}@${host}:3306/${NAME}`,
};

/** What a resource may be. A version without which none was named stays: data is made by it. */
const KINDS: Record<string, Kind> = {
  postgres: { image: "postgres", version: "16", ...POSTGRES },
  postgis: { image: "postgis/postgis", version: "16-3.4", ...POSTGRES },
  mysql: { image: "mysql", version: "8.4", ...MYSQL },
  mariadb: { image: "mariadb", version: "11.4", ...MYSQL },
  redis: {
    ...{ image: "redis", version: "7", port: 6379, data: "/data" },
    command: "redis-server --appendonly yes --dir /data --protected-mode no",
    url: (host) => `redis://${host}:6379/0`,
  },
  memcached: {
    ...{ image: "memcached", version: "1.6", port: 11_211 },
    url: (host) => `memcached://${host}:11211`,
  },
};

function kindOf({ name, type }: Resource): Kind {
  const kind = Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
  if (kind) return kind;
  throw new DavitError(
    "unsupported",
    `this rack does not run resource ${name}: its type is ${JSON.stringify(type)}`,
    {
      hint: `it runs ${Object.keys(KINDS).join(", ")}; or set ${variableOf(name)} in the app's env to one that runs elsewhere`,
    },
  );
}

/** A name that an engine knows it by, or can pull. */
export function resourceImage(resource: Resource): string {
  const { image, version } = kindOf(resource);
  return resource.image ?? `${image}:${resource.version ?? version}`;
}

export function resourceUrl(resource: Resource, password: string): string {
  return kindOf(resource).url(resourceHost(resource.name), password);
}

/** A resource as a service of its app: one, never two at once, its data in a volume of its own. */
export function resourceService(
  resource: Resource,
  password: string,
): { service: Service; env: Record<string, string> } {
  const { port, data, env, command = "" } = kindOf(resource);
  const service: Service = {
    name: resourceHost(resource.name),
    build: undefined,
    image: resourceImage(resource),
    command,
    entrypoint: "",
    port: `tcp:${port}`,
    environment: [],
    line: resource.line,
    running: {
      ...{ agent: false, internal: true, singleton: true, init: false, privileged: false },
      ...{ domains: [], ports: [], resources: [] },
      health: { path: "/", grace: 60, interval: 2, timeout: 5, disabled: false },
      scale: { min: 1, max: 1, cpu: 0, memory: 0 },
      deployment: { minimum: 0, maximum: 100 },
      grace: 30,
      volumes: data === undefined ? [] : [data],
    },
  };
  return { service, env: env?.(password) ?? {} };
}

/** What a service that uses it is told, `DATABASE_URL` and its parts. */
export function resourceVariables(variable: string, url: string): Record<string, string> {
  const { username, password, hostname, port, pathname } = new URL(url);
  const parts = { USER: username, PASS: password, HOST: hostname, PORT: port, NAME: pathname.slice(1) };
  const prefix = variable.replace(/_?URL$/, "");
  const named = Object.entries(parts).map(([name, value]) => [
    `${prefix}_${name}`,
    decodeURIComponent(value),
  ]);
  return { ...(prefix === variable ? {} : Object.fromEntries(named)), [variable]: url };
}
