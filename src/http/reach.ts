import { lookup } from "node:dns/promises";
import { DavitError } from "../errors.ts";
import { isAddress, isLoopback, isPrivateAddress } from "../hosts.ts";

/** Where requests go that are made for somebody who may not choose any place: the public Internet, and these hosts. */
export interface Reach {
  /** `HOST`, or `HOST:PORT` where it is not the scheme's own port; they may be anywhere. */
  hosts: readonly string[];
}

/**
 * The address that a host is connected to; undefined where it may be any. The name is looked up
 * here, once, so that no second answer of its name server leads elsewhere.
 */
export async function reachable({ hostname, host }: URL, { hosts }: Reach): Promise<string | undefined> {
  if (hosts.includes(host)) return undefined;
  const bare = hostname.replace(/^\[(.*)\]$/, "$1");
  const found = isAddress(hostname) ? [{ address: bare, family: 0 }] : await addressesOf(bare);
  const first = found.find(({ family }) => family === 4) ?? found[0];
  if (first === undefined || isLoopback(hostname) || found.some(({ address }) => isPrivateAddress(address)))
    throw new DavitError("denied", `Cannot reach ${host}: it is not on the public Internet`, {
      hint: `the rack's admin may allow it: davit rack params set ImportFrom=${host}`,
    });
  return first.address;
}

async function addressesOf(name: string): Promise<{ address: string; family: number }[]> {
  return await lookup(name, { all: true }).catch(() => []);
}
