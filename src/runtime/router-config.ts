import type { Service } from "../manifest/convox-yml.ts";

/** A service that the world may reach. */
export interface Route {
  app: string;
  service: Service;
  /** Whether every name below `APP-SERVICE.DOMAIN` is its own as well. */
  wildcard: boolean;
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

/** The name a service has in the router's network. */
export function upstreamName(app: string, service: string): string {
  return `${service}.${app}`;
}

export function isRouted({ port, running }: Service): boolean {
  return port !== "" && !running.internal && !running.agent;
}

const PLAIN = { listen: [":80"], automatic_https: { disable: true } };

/** Caddy's configuration for all routes of a rack: https://caddyserver.com/docs/json/ */
export function routerConfig(routes: readonly Route[], { domain, tls, https, given }: RouterOptions): object {
  const server = {
    ...(tls === "off" ? PLAIN : { listen: [":443"] }),
    // No other is asked for; without a policy it would not be shown.
    ...(given ? { automatic_https: { disable_certificates: true }, tls_connection_policies: [{}] } : {}),
    routes: [
      ...routes.map((route) => ({
        match: [{ host: hostsOf(route, domain) }],
        handle: [proxyTo(route)],
        terminal: true,
      })),
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

function hostsOf({ app, service, wildcard }: Route, domain: string): string[] {
  return [
    hostOf({ app, service }, domain),
    ...service.running.domains,
    ...(wildcard ? [`*.${app}-${service.name}.${domain}`] : []),
  ];
}

/** Processes are found by name and anew each second: those of a new release are used as soon as they are well. */
function proxyTo({ app, service }: Route): object {
  const [, scheme = "http", port = ""] = /^(?:([a-z]+):)?(\d+)$/.exec(service.port) ?? [];
  const name = upstreamName(app, service.name);
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
