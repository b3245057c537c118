import type { Service } from "../manifest/convox-yml.ts";

/** A service that the world may reach. */
export interface Route {
  app: string;
  service: Service;
  /** The names it answers to; `*.` may stand for the first part of one. */
  hosts: readonly string[];
  /** Whether it runs as an earlier davit has started it. */
  old?: boolean;
}

export interface RouterOptions {
  /** Services answer to `SERVICE.APP.DOMAIN`. */
  domain: string;
  /** `off`; `acme` for certificates of the world's; `internal` for those of the router's own authority; `given`. */
  tls: "off" | "acme" | "internal" | "given";
  /** The node's port for HTTPS. */
  https: number;
  /** PEM: the one certificate, its chain after it, and its key. */
  given?: { certificate: string; key: string };
}

/** Where Caddy takes its orders: a socket on its own volume, never a port. */
export const ADMIN = "unix//config/admin.sock";
/** Docker's own DNS, as containers see it. */
const DNS = "127.0.0.11:53";
/** How long a request is tried anew on other processes, and how soon those that are gone are forgotten. */
const TRIES = { try_duration: "5s", try_interval: "50ms" };
const REFRESH = "1s";
const DIAL = "1s";

const UPSTREAM = ".davit.invalid";

/** The name by which the router finds a service. No public name server knows such a name: RFC 6761. */
export function upstreamName(app: string, service: string): string {
  return `${service}.${app}${UPSTREAM}`;
}

export function isUpstreamName(name: string): boolean {
  return name.endsWith(UPSTREAM);
}

/** The name that earlier davits gave a service in a network of all apps. */
export function oldUpstreamName(app: string, service: string): string {
  return `${service}.${app}`;
}

export function isRouted({ port, running }: Service): boolean {
  return port !== "" && !running.internal && !running.agent;
}

const PLAIN = { listen: [":80"], automatic_https: { disable: true } };

/** Caddy's configuration for all routes of a rack: https://caddyserver.com/docs/json/ */
export function routerConfig(routes: readonly Route[], { tls, https, given }: RouterOptions): object {
  const server = {
    ...(tls === "off" ? PLAIN : { listen: [":443"] }),
    // No other is asked for; without a policy it would not be shown.
    ...(given ? { automatic_https: { disable_certificates: true }, tls_connection_policies: [{}] } : {}),
    routes: [
      // The first that matches is taken: a name of its own comes before any wildcard.
      ...routes.flatMap((route) => routeTo(route, (host) => !host.startsWith("*."))),
      ...routes.flatMap((route) => routeTo(route, (host) => host.startsWith("*."))),
      { handle: [{ handler: "static_response", status_code: 404, body: "no such service\n" }] },
    ],
  };
  const certificates = given && { certificates: { load_pem: [given] } };
  const internal = { automation: { policies: [{ issuers: [{ module: "internal" }] }] } };
  const secure = tls === "internal" ? internal : certificates;
  return {
    admin: { listen: ADMIN },
    apps: {
      http: { servers: { davit: server, ...(tls === "off" ? {} : { plain: elsewhere(https) }) } },
      ...(secure ? { tls: secure } : {}),
    },
  };
}

/** Whoever asks without TLS is sent to where it is. */
function elsewhere(https: number): object {
  const place = `https://{http.request.host}${https === 443 ? "" : `:${https}`}{http.request.uri}`;
  const handler = { handler: "static_response", status_code: 308, headers: { Location: [place] } };
  return { ...PLAIN, routes: [{ handle: [handler] }] };
}

/** The name that a service has by itself. */
export function hostOf({ app, service }: Pick<Route, "app" | "service">, domain: string): string {
  return `${service.name}.${app}.${domain}`;
}

function routeTo(route: Route, isWanted: (host: string) => boolean): object[] {
  // Caddy refuses all of a configuration in which one matcher has a name twice.
  const host = [...new Set(route.hosts)].filter(isWanted);
  return host.length > 0 ? [{ match: [{ host }], handle: [proxyTo(route)], terminal: true }] : [];
}

/** Processes are found by name and anew each second: those of a new release are used as soon as they are well. */
function proxyTo({ app, service, old }: Route): object {
  const [, scheme = "http", port = ""] = /^(?:([a-z]+):)?(\d+)$/.exec(service.port) ?? [];
  const name = (old ? oldUpstreamName : upstreamName)(app, service.name);
  return {
    handler: "reverse_proxy",
    dynamic_upstreams: { source: "a", name, port, refresh: REFRESH, resolver: { addresses: [DNS] } },
    load_balancing: TRIES,
    transport: {
      protocol: "http",
      dial_timeout: DIAL,
      // What a process says of itself inside is nobody's to vouch for.
      ...(scheme === "https" ? { tls: { insecure_skip_verify: true } } : {}),
    },
  };
}
