import { lookup } from "node:dns/promises";
import { DavitError } from "../errors.ts";
import { isAddress, isLoopback, isPrivateAddress } from "../hosts.ts";

/** Where requests may go that somebody else has chosen the address of: the public Internet, and these hosts. */
export interface Reach {
  /** `HOST`, or `HOST:PORT` where it is not the scheme's own port; they may be anywhere. */
  hosts: readonly string[];
}

/**
 * The address to connect to for a URL; undefined where the host may have any address. The name is
 * looked up here, once, so that no second answer of its name server leads elsewhere. Throws `denied`
 * where the host is not within reach.
 */
export async function reachable({ hostname, host }: URL, { hosts }: Reach): Promise<string | undefined> {
  if (hosts.includes(host)) return undefined;
  const found = await addressesOf(hostname);
  const first = found.find(({ family }) => family === 4) ?? found[0];
  if (first === undefined || isLoopback(hostname) || found.some(({ address }) => isPrivateAddress(address)))
    throw new DavitError("denied", `Cannot reach ${host}: it is not on the public Internet`, {
      hint: `the rack's admin may allow it: \`davit rack params set ImportFrom=+${host}\``,
    });
  return first.address;
}

/** The addresses of a URL's host: itself, where it is one. Empty where its name is not known. */
export async function addressesOf(hostname: string): Promise<{ address: string; family: number }[]> {
  if (isAddress(hostname)) return [{ address: hostname.replace(/^\[(.*)\]$/, "$1"), family: 0 }];
  return await lookup(hostname, { all: true }).catch(() => []);
}
