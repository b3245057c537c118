import { DavitError } from "../errors.ts";
import type { Registry } from "../rack/registry.ts";
import { type Address, addressOf, isLocal, listen } from "./listen.ts";
import { tuneLoopback } from "./loopback.ts";
import { PasswordGate } from "./password.ts";
import type { Visitor } from "./registry/call.ts";
import { registryApi } from "./registry/registry-api.ts";
import { ServerLock } from "./server-lock.ts";

export interface RegistryServerOptions {
  registry: Registry;
  /** Where the server's lock lies: one server at a time. */
  dir: string;
  address: Address;
  /** Undefined lets everyone in; only this machine may be served so. */
  password?: string | undefined;
  hosts?: readonly string[];
}

/** A registry that is being served. */
export interface RegistryServer extends AsyncDisposable {
  /** `http://ADDR:PORT`. */
  url: string;
}

const ANYONE: Visitor = { name: "anyone", may: () => true };

/** Serves `/v2`, and `/check` for those who only want to know whether it is up. */
export async function serveRegistry(options: RegistryServerOptions): Promise<RegistryServer> {
  const { registry, address, password, dir } = options;
  if (password === undefined && !isLocal(address))
    throw new DavitError("denied", `Cannot listen on ${address.hostname} without a password`, {
      hint: "give one with --password-stdin",
    });
  const lock = await ServerLock.take(dir);
  const gate = password === undefined ? undefined : new PasswordGate(password);
  await registry.start();
  const server = listen({
    address,
    ...(options.hosts ? { hosts: options.hosts } : {}),
    async handle(request, from) {
      const { pathname } = new URL(request.url);
      if (pathname === "/check") return new Response("ok\n");
      if (!/^\/v2(\/|$)/.test(pathname)) return new Response("not found\n", { status: 404 });
      return (await gate?.check(request, from)) ?? (await registryApi(request, registry, ANYONE));
    },
  });
  if (isLocal(address)) await tuneLoopback();
  return {
    url: addressOf(server, address),
    async [Symbol.asyncDispose]() {
      await server.stop(true);
      await registry[Symbol.asyncDispose]();
      await lock[Symbol.asyncDispose]();
    },
  };
}
