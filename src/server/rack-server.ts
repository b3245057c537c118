import { CACHE } from "../build/engine.ts";
import { DavitError } from "../errors.ts";
import type { EmbeddedRack } from "../rack/embedded.ts";
import { problem } from "./answer.ts";
import { calmDiskThreads } from "./disk-threads.ts";
import { type Address, addressOf, isLocal, listen } from "./listen.ts";
import { Login, type Visitor } from "./login.ts";
import { tuneLoopback } from "./loopback.ts";
import { Metrics } from "./metrics.ts";
import { refusal } from "./password.ts";
import { rackApi } from "./rack-api.ts";
import type { Visitor as RegistryVisitor } from "./registry/call.ts";
import { registryApi } from "./registry/registry-api.ts";
import type { RegistryServer } from "./registry-server.ts";
import { ServerLock } from "./server-lock.ts";
import type { Connection } from "./sockets.ts";

export interface RackServerOptions {
  rack: EmbeddedRack;
  /** Where the server's lock lies: one server at a time. */
  dir: string;
  address: Address;
  password: string;
  hosts?: readonly string[];
  tls?: { cert: string; key: string } | undefined;
  /** Builds at once, and builds that may wait. */
  limits: { running: number; waiting: number };
  /** One line of JSON for every request. */
  onRequest?(line: string): void;
}

/** How long a stop waits for answers that are on their way, in milliseconds. */
const GRACE = 1500;

/** Serves a rack to others: the Convox rack API, its images below `/v2`, and how it is doing. */
export async function serveRack(options: RackServerOptions): Promise<RegistryServer> {
  const { rack, address, password, dir, tls } = options;
  if (!tls && !isLocal(address))
    throw new DavitError("denied", `Cannot listen on ${address.hostname} without TLS`, {
      hint: "add --tls-self-signed, or --tls-cert and --tls-key; behind a proxy that does TLS, listen on loopback",
    });
  const lock = await ServerLock.take(dir);
  const served = rack.served(options.limits);
  const registry = rack.registry();
  const login = new Login({ rack, served, password });
  const metrics = new Metrics(served);
  await served.start();
  await registry.start();

  async function handle(
    request: Request,
    from: string,
    upgrade: (data: Connection) => boolean,
  ): Promise<Response | undefined> {
    const { pathname } = new URL(request.url);
    if (pathname === "/check") return new Response("ok");
    if (/^\/v2(\/|$)/.test(pathname)) {
      const visitor = await login.visitor(request, from);
      return visitor instanceof Response
        ? refusal(visitor.status)
        : await registryApi(request, registry, inRegistry(visitor, rack));
    }
    if (pathname === "/metrics") {
      const visitor = await login.visitor(request, from);
      if (visitor instanceof Response) return visitor;
      return visitor.role === "deploy" || visitor.role === "pull"
        ? problem(403, "you are unauthorized to access this")
        : metrics.answer();
    }
    return await rackApi(request, from, { rack, served, login }, upgrade);
  }

  const server = listen({
    address,
    tls,
    ...(options.hosts ? { hosts: options.hosts } : {}),
    async handle(request, from, upgrade) {
      const began = performance.now();
      const id = crypto.randomUUID().replaceAll("-", "").slice(0, 12);
      const response = await handle(request, from, upgrade);
      const status = response?.status ?? 101;
      const milliseconds = Math.round(performance.now() - began);
      metrics.served(request.method, status, milliseconds);
      options.onRequest?.(logLine(request, { id, status, milliseconds, from }));
      response?.headers.set("request-id", id);
      response?.headers.set("x-content-type-options", "nosniff");
      response?.headers.set("x-frame-options", "DENY");
      return response;
    },
  });
  if (isLocal(address)) await tuneLoopback();
  await calmDiskThreads();
  return {
    url: addressOf(server, address, tls !== undefined),
    async [Symbol.asyncDispose]() {
      // Builds first: whoever follows one hears of its end.
      const answered = server.stop();
      await served.stop();
      await Promise.race([answered, Bun.sleep(GRACE)]);
      await server.stop(true);
      await registry[Symbol.asyncDispose]();
      await lock[Symbol.asyncDispose]();
    },
  };
}

/** What a visitor may do with images. Tags of builds that have ended never move. */
function inRegistry(visitor: Visitor, rack: EmbeddedRack): RegistryVisitor {
  const { role, apps, build } = visitor;
  return {
    name: visitor.name,
    may: (right, repository) => {
      if (apps && !apps.includes(repository)) return false;
      if (role === "pull") return right === "pull";
      if (role === "deploy") return right === "pull" || right === "push";
      return role.includes(right === "pull" ? "r" : right === "admin" ? "a" : "w");
    },
    // A builder believes a layer cache: only builders make one.
    mayTag: async (repository, tag) =>
      !(role === "deploy" && tag.endsWith(CACHE)) &&
      (build === undefined || tag.endsWith(`.${build}`)) &&
      !(await rack.isSealedTag(repository, tag)),
  };
}

function logLine(
  request: Request,
  { id, status, milliseconds, from }: { id: string; status: number; milliseconds: number; from: string },
): string {
  const { pathname } = new URL(request.url);
  const at = new Date().toISOString();
  return JSON.stringify({
    at,
    id,
    from,
    method: request.method,
    path: pathname.slice(0, 500),
    status,
    ms: milliseconds,
  });
}
