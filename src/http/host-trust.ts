import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemCode, systemError } from "../errors.ts";
import type { Env } from "./docker-auth.ts";
import type { Trust } from "./request.ts";

/**
 * How a registry's host is to be trusted: what the user said by flag or
 * environment, and the certificates docker keeps for it. In `certs.d/HOST/`,
 * `*.crt` are CAs, `x.cert` with `x.key` is what we show of ourselves:
 * https://docs.docker.com/engine/security/certificates/
 */
export async function trustOf(host: string, env: Env): Promise<Trust> {
  const plainHttp = listed(env["DAVIT_PLAIN_HTTP"]).includes(host);
  const insecure = listed(env["DAVIT_INSECURE"]).includes(host);
  const certificates = await readCertificates(host, env);
  const tls = { ...certificates, ...(insecure ? { rejectUnauthorized: false } : {}) };
  return { ...(plainHttp ? { plainHttp } : {}), ...(Object.keys(tls).length > 0 ? { tls } : {}) };
}

/** A list in an environment variable. */
export function listed(text: string | undefined): string[] {
  return (text ?? "").split(/[\s,]+/).filter((item) => item !== "");
}

async function readCertificates(host: string, env: Env): Promise<Trust["tls"]> {
  if (/^\.+$|[/\\]/.test(host)) return undefined;
  const home = env["HOME"] || homedir();
  const places = [
    join(env["DOCKER_CONFIG"] || join(home, ".docker"), "certs.d"),
    join(home, ".config", "containers", "certs.d"),
    "/etc/containers/certs.d",
    "/etc/docker/certs.d",
  ];
  for (const place of places) {
    const found = await readDirectory(join(place, host));
    if (found) return found;
  }
  return undefined;
}

async function readDirectory(dir: string): Promise<Trust["tls"]> {
  const names = await readdir(dir).catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(systemCode(error) ?? "")) return [];
    throw systemError(`Cannot read ${dir}`, error);
  });
  const read = (name: string) => readFile(join(dir, name), "utf8");
  const ca = await Promise.all(names.filter((name) => name.endsWith(".crt")).map(read));
  const pair = names.find((name) => name.endsWith(".cert"))?.slice(0, -".cert".length);
  if (ca.length === 0 && pair === undefined) return undefined;
  const own = pair === undefined ? {} : { cert: await read(`${pair}.cert`), key: await read(`${pair}.key`) };
  return { ...(ca.length > 0 ? { ca: [...(await systemRoots()), ...ca] } : {}), ...own };
}

/** A list of CAs takes the place of the usual ones, and a host's own CA is meant beside them. */
async function systemRoots(): Promise<readonly string[]> {
  const { rootCertificates } = await import("node:tls");
  return rootCertificates;
}
