import { isAddress, isInNetwork, isLoopback, isSameHost } from "./hosts.ts";

type Env = Record<string, string | undefined>;

/**
 * The proxy for an address, as Go's programs choose it, and so docker and its
 * peers: by scheme, never for loopback, NO_PROXY with names, suffixes, addresses
 * and networks. `false` is none, in fetch's words: it takes all else that names no
 * proxy as leave to look into the environment itself.
 * See https://pkg.go.dev/golang.org/x/net/http/httpproxy
 */
export function proxyFor(url: URL, env: Env): string | false {
  if (isLoopback(url.hostname)) return false;
  const pick = (name: string) => env[name.toLowerCase()] || env[name.toUpperCase()] || "";
  const secure = url.protocol === "https:" || url.protocol === "wss:";
  const proxy = pick(secure ? "https_proxy" : "http_proxy");
  if (proxy === "" || isExcluded(url.hostname, url.port || (secure ? "443" : "80"), pick("no_proxy")))
    return false;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

/** The proxy without its password, for messages; undefined where there is none. */
export function shownProxy(url: URL, env: Env): string | undefined {
  const proxy = proxyFor(url, env);
  if (proxy === false) return undefined;
  return URL.canParse(proxy) ? new URL(proxy).host : "of the environment";
}

/** Entries stand between commas, or spaces, as curl takes them too. */
function isExcluded(hostname: string, port: string, list: string): boolean {
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== "" && covers(entry, hostname.replace(/\.$/, ""), port));
}

function covers(entry: string, hostname: string, port: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isInNetwork(hostname, entry);
  if (isSameHost(entry, hostname)) return true;
  const [, name = "", only] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [];
  if (name === "" || (only !== undefined && only !== port)) return false;
  if (isSameHost(name, hostname)) return true;
  const suffix = name.replace(/^\*?\.?/, ".").replace(/\.$/, "");
  return suffix !== "." && !isAddress(hostname) && hostname.endsWith(suffix);
}
