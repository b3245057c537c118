import { BlockList, isIP } from "node:net";

/**
 * A host as addresses write it: lower case, an IP in its one form, without brackets and last dot.
 * Undefined for what is more than a host, such as `localhost:x@example.com`.
 */
function canonical(host: string): string | undefined {
  const bare = /^\[[^\]]*\]$/.test(host) && host.includes(":") ? host.slice(1, -1) : host;
  const text = `http://${bare.includes(":") ? `[${bare}]` : bare}/`;
  if (!URL.canParse(text)) return undefined;
  const { href, hostname } = new URL(text);
  if (href !== `http://${hostname}/`) return undefined;
  return hostname.replace(/^\[(.*)\]$/, "$1").replace(/\.$/, "");
}

const LOOPBACK = blockList(["127.0.0.0/8", "::1/128"]);
/** https://www.iana.org/assignments/iana-ipv4-special-registry, and its counterpart for IPv6. */
const PRIVATE = blockList([
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3", "fc00::/7", "fe80::/10"],
  // Those that hold an IPv4 address, which a gateway may go on to: NAT64, 6to4, Teredo, and older ones.
  ...["64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/23", "::/96", "::ffff:0:0:0/96"],
  ...["fec0::/10", "ff00::/8", "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16"],
]);

/** This machine by its name or address, however it is written. Takes a host alone: a port or a user is none. */
export function isLoopback(host: string): boolean {
  const name = canonical(host);
  return name !== undefined && (name === "localhost" || isIn(LOOPBACK, name));
}

/** An IP address that is outside of the public Internet; names are none. */
export function isPrivateAddress(address: string): boolean {
  const name = canonical(address);
  return name !== undefined && isIn(PRIVATE, name);
}

/** Whether an address lies in a network, written `10.0.0.0/8`; what is no network holds nothing. */
export function isInNetwork(address: string, network: string): boolean {
  try {
    return isIn(blockList([network]), canonical(address) ?? "");
  } catch {
    return false;
  }
}

export function isAddress(host: string): boolean {
  return isIP(canonical(host) ?? "") !== 0;
}

export function isSameHost(a: string, b: string): boolean {
  const name = canonical(a);
  return name !== undefined && name === canonical(b);
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [base = "", bits = ""] = network.split("/");
    if (!/^\d{1,3}$/.test(bits)) throw new RangeError(`no network: ${network}`);
    list.addSubnet(base, Number(bits), isIP(base) === 6 ? "ipv6" : "ipv4");
  }
  return list;
}

function isIn(list: BlockList, address: string): boolean {
  const kind = isIP(address);
  return kind !== 0 && list.check(address, kind === 6 ? "ipv6" : "ipv4");
}
