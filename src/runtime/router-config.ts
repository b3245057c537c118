import type { Service } from "../manifest/convox-yml.ts";
import { serviceName } from "./service-name.ts";

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
/** How soon processes that are gone are forgotten. */
const REFRESH = "1s";
const DIAL = "1s";
/** A request is tried anew on other processes, a little longer than one that is gone is known. */
const TRIES = { retries: 12, try_interval: "100ms" };
/** Where there is no process at all, it waits for one. One with a body does not: the first try has closed it. */
const WAIT = { try_duration: "5s", try_interval: "250ms" };

/** What every name for the router begins with, and no name of a service, a container or a network does. */
const UPSTREAM = "_";

/**
 * The name that the router finds a service by: `_SERVICE_APP`. It has no dots, so the engine
 * answers for itself that there is no such name, and asks no other name server.
 */
export function upstreamName(app: string, service: string): string {
  return serviceName("", service, app);
}

export function isUpstreamName(name: string): boolean {
  return name.startsWith(UPSTREAM);
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
      ...routesTo(routes, proxyTo),
      { handle: [{ handler: "static_response", status_code: 404, body: "no such service\n" }] },
    ],
    ...(routes.length > 0 ? { errors: { routes: [whereNobodyIs(routes)] } } : {}),
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

/** 503 is the router's own word for no process; a service's own answer comes by no error. */
function whereNobodyIs(routes: readonly Route[]): object {
  const handle = [{ handler: "subroute", routes: routesTo(routes, waitFor) }];
  return { match: [{ vars: { "{http.error.status_code}": ["503"] } }], handle };
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

function routeTo(
  route: Route,
  proxy: (route: Route) => object,
  isWanted: (host: string) => boolean,
): object[] {
  // Caddy refuses all of a configuration in which one matcher has a name twice.
  const host = [...new Set(route.hosts)].filter(isWanted);
  return host.length > 0 ? [{ match: [{ host }], handle: [proxy(route)], terminal: true }] : [];
}

/** The first that matches is taken: a name of its own comes before any wildcard. */
function routesTo(routes: readonly Route[], proxy: (route: Route) => object): object[] {
  return [
    ...routes.flatMap((route) => routeTo(route, proxy, (host) => !host.startsWith("*."))),
    ...routes.flatMap((route) => routeTo(route, proxy, (host) => host.startsWith("*."))),
  ];
}

/** Processes are found by name and anew each second: those of a new release are used as soon as they are well. */
function proxyTo(route: Route): object {
  const { name, port } = placeOf(route);
  return {
    handler: "reverse_proxy",
    dynamic_upstreams: { source: "a", name, port, refresh: REFRESH, resolver: { addresses: [DNS] } },
    load_balancing: TRIES,
    transport: transportTo(route),
  };
}

/**
 * What becomes of a request whose service has no process. Caddy looks dynamic upstreams up
 * behind one lock for all routes, and a name without an address each time it is tried: so those
 * who wait do it here, where each connects by itself and holds up nobody.
 */
function waitFor(route: Route): object {
  const { name, port } = placeOf(route);
  return {
    handler: "reverse_proxy",
    upstreams: [{ dial: `${name}:${port}` }],
    load_balancing: WAIT,
    transport: { ...transportTo(route), resolver: { addresses: [DNS] }, keep_alive: { enabled: false } },
  };
}

/** The dot ends the name: no search domain of the node is tried after it. */
function placeOf({ app, service, old }: Route): { name: string; port: string } {
  const name = (old ? oldUpstreamName : upstreamName)(app, service.name);
  return { name: `${name}.`, port: service.port.slice(service.port.lastIndexOf(":") + 1) };
}

function transportTo({ service }: Route): object {
  return {
    protocol: "http",
    dial_timeout: DIAL,
    // What a process says of itself inside is nobody's to vouch for.
    ...(service.port.startsWith("https:") ? { tls: { insecure_skip_verify: true } } : {}),
  };
}
