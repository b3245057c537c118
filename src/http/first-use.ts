import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { isAddress, isLoopback } from "../hosts.ts";
import { trustOf } from "./host-trust.ts";
import type { Trust } from "./request.ts";

type Env = Record<string, string | undefined>;

/** How long a first handshake may take, in milliseconds. */
const PATIENCE = 10_000;

interface Seen {
  pem: string;
  fingerprint: string;
  /** Whether somebody this machine trusts vouches for it. */
  vouched: boolean;
}

/**
 * How to trust a server that may have made its certificate itself, as racks do: the
 * first one that is seen is kept, told by its fingerprint, and from then on it must
 * be that one. Certificates that others vouch for need no keeping.
 */
export async function trustOnFirstUse(
  url: URL,
  dir: string,
  env: Env,
  onNote?: (text: string) => void,
): Promise<Trust> {
  const trust = await trustOf(url.host, env);
  if (url.protocol !== "https:" || trust.tls) return trust;
  const path = join(dir, `${url.host.replaceAll(/[^\w.-]/g, "_")}.pem`);
  const kept = await readKept(path);
  if (kept !== undefined) return pinned(trust, kept, path);
  const seen = await look(url);
  if (seen === undefined || seen.vouched) return trust;
  await mkdir(dir, { recursive: true, mode: 0o700 });
  await writeFile(path, seen.pem, { mode: 0o600, flag: "wx" }).catch((error: unknown) => {
    if (systemCode(error) !== "EEXIST") throw systemError(`Cannot write ${path}`, error);
  });
  onNote?.(`${url.host} made its certificate itself; remembered: SHA256 ${seen.fingerprint}`);
  return pinned(trust, seen.pem, path);
}

/** It is its own authority; whatever name it gives itself, it is the one that was kept. */
function pinned(trust: Trust, pem: string, path: string): Trust {
  const hint = `if it was given another certificate, and you know that, delete ${path}`;
  return { ...trust, tls: { ca: [pem], checkServerIdentity: () => undefined }, hint };
}

async function readKept(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}

/** The certificate a server shows; undefined where none answers, which the real request then says. */
async function look(url: URL): Promise<Seen | undefined> {
  const { connect } = await import("node:tls");
  const { promise, resolve } = Promise.withResolvers<Seen | undefined>();
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const socket = connect({
    host,
    port: Number(url.port || 443),
    ...(isLoopback(host) || isAddress(host) ? {} : { servername: host }),
    rejectUnauthorized: false,
    timeout: PATIENCE,
  });
  socket.once("secureConnect", () => {
    const { raw, fingerprint256 } = socket.getPeerCertificate();
    if (!raw) throw new DavitError("denied", `Cannot trust ${url.host}: it shows no certificate`);
    const lines = Buffer.from(raw).toString("base64").replaceAll(/.{64}/g, "$&\n").trimEnd();
    const pem = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
    resolve({ pem, fingerprint: fingerprint256, vouched: socket.authorized });
  });
  for (const event of ["error", "timeout", "close"] as const) socket.once(event, () => resolve(undefined));
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
