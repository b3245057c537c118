import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { checkJson, Type } from "../schema.ts";

/** Environment variables, as `process.env` has them. */
export type Env = Record<string, string | undefined>;

/** Where an engine listens. `name` is the address as the user knows it. */
export interface EngineHost {
  name: string;
  /** What request paths are appended to; its host means nothing for a unix socket. */
  url: string;
  unix?: string;
  tls?: { ca?: string; cert?: string; key?: string; rejectUnauthorized: boolean };
}

const DEFAULT_SOCKET = "/var/run/docker.sock";

const DockerConfig = Type.Object({ currentContext: Type.Optional(Type.String()) });
const ContextMeta = Type.Object({
  Endpoints: Type.Object({
    docker: Type.Object({ Host: Type.String(), SkipTLSVerify: Type.Optional(Type.Boolean()) }),
  }),
});

/** The directory of docker's own settings: `$DOCKER_CONFIG`, else `~/.docker`. */
export function dockerConfigDir(env: Env): string {
  return env["DOCKER_CONFIG"] || join(env["HOME"] || homedir(), ".docker");
}

/** Finds the engine as the docker CLI does: `DOCKER_HOST`, `DOCKER_CONTEXT`, the current context, the default socket. */
export async function engineHost(env: Env): Promise<EngineHost> {
  if (env["DOCKER_HOST"]) return withEnvTls(parseHost(env["DOCKER_HOST"]), env);
  const context = env["DOCKER_CONTEXT"] || (await currentContext(env));
  if (context && context !== "default") return await contextHost(context, env);
  const rootless = env["XDG_RUNTIME_DIR"] && join(env["XDG_RUNTIME_DIR"], "docker.sock");
  const socket = !existsSync(DEFAULT_SOCKET) && rootless && existsSync(rootless) ? rootless : DEFAULT_SOCKET;
  return parseHost(`unix://${socket}`);
}

export function parseHost(text: string): EngineHost {
  const [, scheme, rest] = /^([a-z]+):\/\/(.+)$/.exec(text) ?? [];
  if (scheme === "unix" && rest) return { name: text, url: "http://docker", unix: rest };
  if (scheme === "tcp" && rest) return { name: text, url: `http://${rest.replace(/\/$/, "")}` };
  if ((scheme === "http" || scheme === "https") && rest) return { name: text, url: text.replace(/\/$/, "") };
  throw new DavitError(
    "invalid",
    `Cannot use Docker host ${JSON.stringify(text)}: only unix://, tcp://, http:// and https:// are understood`,
    {
      hint: "set DOCKER_HOST to an address of that form; for ssh, forward the socket with ssh -L",
    },
  );
}

async function withEnvTls(host: EngineHost, env: Env): Promise<EngineHost> {
  if (host.unix || !(env["DOCKER_TLS_VERIFY"] || env["DOCKER_TLS"])) return host;
  const dir = env["DOCKER_CERT_PATH"] || dockerConfigDir(env);
  return await withTls(host, dir, Boolean(env["DOCKER_TLS_VERIFY"]));
}

async function withTls(host: EngineHost, dir: string, verify: boolean): Promise<EngineHost> {
  const [ca, cert, key] = await Promise.all(
    ["ca.pem", "cert.pem", "key.pem"].map((file) => readIfThere(join(dir, file))),
  );
  return {
    ...host,
    url: host.url.replace(/^http:/, "https:"),
    tls: {
      rejectUnauthorized: verify,
      ...(ca ? { ca } : {}),
      ...(cert ? { cert } : {}),
      ...(key ? { key } : {}),
    },
  };
}

async function currentContext(env: Env): Promise<string | undefined> {
  const path = join(dockerConfigDir(env), "config.json");
  const text = await readIfThere(path);
  return text === undefined ? undefined : checkJson(DockerConfig, text, path).currentContext;
}

async function contextHost(name: string, env: Env): Promise<EngineHost> {
  const id = new Bun.CryptoHasher("sha256").update(name).digest("hex");
  const dir = join(dockerConfigDir(env), "contexts");
  const path = join(dir, "meta", id, "meta.json");
  const text = await readIfThere(path);
  if (text === undefined)
    throw new DavitError(
      "not-found",
      `Cannot use Docker context ${JSON.stringify(name)}: there is no ${path}`,
      {
        hint: "see `docker context ls`, or unset DOCKER_CONTEXT",
      },
    );
  const { Host, SkipTLSVerify } = checkJson(ContextMeta, text, path).Endpoints.docker;
  const host = parseHost(Host);
  const tls = join(dir, "tls", id, "docker");
  return !host.unix && existsSync(tls) ? await withTls(host, tls, !SkipTLSVerify) : host;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}
