type Env = Record<string, string | undefined>;

export function isLoopback(hostname: string): boolean {
  return (
    hostname === "localhost" ||
    hostname === "[::1]" ||
    hostname === "::1" ||
    /^127(\.\d{1,3}){3}$/.test(hostname)
  );
}

/**
 * The proxy for an address, as Go's programs choose it, and so docker and its
 * peers: by scheme, never for loopback, NO_PROXY with names, suffixes, addresses
 * and networks. "" is none. See https://pkg.go.dev/golang.org/x/net/http/httpproxy
 */
export function proxyFor(url: URL, env: Env): string {
  const hostname = url.hostname.replace(/^\[|\]$/g, "");
  if (isLoopback(hostname)) return "";
  const pick = (name: string) => env[name.toLowerCase()] || env[name.toUpperCase()] || "";
  const proxy = pick(url.protocol === "https:" ? "https_proxy" : "http_proxy");
  if (proxy === "" || isExcluded(hostname, portOf(url), pick("no_proxy"))) return "";
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function portOf(url: URL): string {
  return url.port || (url.protocol === "https:" ? "443" : "80");
}

function isExcluded(hostname: string, port: string, list: string): boolean {
  return list
    .split(",")
    .map((entry) => entry.trim().toLowerCase())
    .filter((entry) => entry !== "")
    .some((entry) => covers(entry, hostname.toLowerCase(), port));
}

function covers(entry: string, hostname: string, port: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return inNetwork(entry, hostname);
  const [, name = "", only] = /^(.*?)(?::(\d+))?$/.exec(entry) ?? [];
  if (only !== undefined && only !== port) return false;
  if (hostname === name) return true;
  return name.startsWith(".") || name.startsWith("*.")
    ? hostname.endsWith(name.replace(/^\*/, ""))
    : hostname.endsWith(`.${name}`);
}

function inNetwork(network: string, hostname: string): boolean {
  const [base = "", bits = ""] = network.split("/");
  const [a, b] = [ipv4(base), ipv4(hostname)];
  if (a === undefined || b === undefined || !/^\d{1,2}$/.test(bits) || Number(bits) > 32) return false;
  const shift = 2 ** (32 - Number(bits));
  return Math.floor(a / shift) === Math.floor(b / shift);
}

/** An IPv4 address as a number; undefined for anything else. */
export function ipv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256))
    return undefined;
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
}
