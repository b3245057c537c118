import { DavitError } from "../errors.ts";
import { isPlainPath, trimSlash } from "../manifest/volume.ts";
import { fullName, parseReference } from "../oci/reference.ts";
import { isName } from "./ids.ts";

/**
 * What apps may have of the nodes they run on. Four parameters of the rack hold it, as entries
 * joined with commas, each for all apps or for the app that it names: `[APP:]WHAT`.
 */
export interface Consent {
  paths: readonly PathConsent[];
  ports: readonly PortConsent[];
  /** Apps whose services may have no limit to their memory; "" for all. */
  unlimited: readonly string[];
  /** Images that resources may run beside the stock ones, by their full names. */
  images: readonly string[];
}

/** Consent to one directory or file of the node, not to what lies in it: an app that may write there could put links in the place of that. */
export interface PathConsent {
  /** "" for all. */
  app: string;
  path: string;
  readOnly: boolean;
}

export interface PortConsent {
  /** "" for all. */
  app: string;
  first: number;
  last: number;
  protocol: string;
}

/** `/srv/data`, `/var/log:ro`, `shop:/srv/shop` */
export const HOST_PATHS = "HostPaths";
/** `8125/udp`, `9000-9100`, `shop:7000` */
export const HOST_PORTS = "HostPorts";
/** `shop`, or `*` */
export const UNLIMITED_MEMORY = "UnlimitedMemory";
/** `registry.example.com/team/postgres:16`, for all apps */
export const RESOURCE_IMAGES = "ResourceImages";

const LISTS: Record<string, { read: (entry: string) => unknown; words: string }> = {
  [HOST_PATHS]: { read: readPath, words: "entries like /srv/data, /var/log:ro and APP:/srv/app" },
  [HOST_PORTS]: { read: readPort, words: "entries like 8125/udp, 9000-9100 and APP:7000" },
  [UNLIMITED_MEMORY]: { read: readApp, words: "names of apps, or *" },
  [RESOURCE_IMAGES]: { read: imageName, words: "names of images" },
};
const APP = "(?:([a-z][a-z0-9-]{0,62}):)?";
const PORT = new RegExp(`^${APP}(\\d{1,5})(?:-(\\d{1,5}))?(?:/(tcp|udp))?$`);
const PATH = new RegExp(`^${APP}(/[^:]*)(:ro)?$`);
const LONGEST_PORT = 85;

export function isConsent(name: string): boolean {
  return Object.hasOwn(LISTS, name);
}

/** Refuses a value of one of the four parameters that cannot be read, and paths that lie in each other. */
export function checkConsent(name: string, value: string): void {
  const list = LISTS[name];
  if (!list) return;
  const wrong = entriesOf(value).find((entry) => list.read(entry) === undefined);
  if (wrong !== undefined)
    throw new DavitError(
      "invalid",
      `Cannot set ${name}: it is ${list.words}, not ${JSON.stringify(wrong.slice(0, 100))}`,
    );
  if (name === HOST_PATHS) refuseNested(readAll(value, readPath));
}

/** The value to set: `+ENTRY,…` adds to the entries that are there, anything else replaces them. */
export function withAdditions(before: string, value: string): string {
  if (!value.startsWith("+")) return value;
  return [...new Set([...entriesOf(before), ...entriesOf(value.slice(1))])].join(",");
}

export function readConsent(params: Record<string, string>): Consent {
  return {
    paths: readAll(params[HOST_PATHS], readPath),
    ports: readAll(params[HOST_PORTS], readPort),
    unlimited: readAll(params[UNLIMITED_MEMORY], readApp),
    images: readAll(params[RESOURCE_IMAGES], imageName),
  };
}

function entriesOf(text: string): string[] {
  return text
    .split(",")
    .map((entry) => entry.trim())
    .filter((entry) => entry !== "");
}

function readAll<T>(text: string | undefined, read: (entry: string) => T | undefined): T[] {
  return entriesOf(text ?? "").flatMap((entry) => read(entry) ?? []);
}

function readPath(entry: string): PathConsent | undefined {
  const [, app = "", path = "", mode] = PATH.exec(entry) ?? [];
  return isPlainPath(path) ? { app, path: trimSlash(path), readOnly: mode !== undefined } : undefined;
}

function readPort(entry: string): PortConsent | undefined {
  const [, app = "", from = "", to = from, protocol = "tcp"] =
    (entry.length <= LONGEST_PORT && PORT.exec(entry)) || [];
  const [first, last] = [Number(from), Number(to)];
  return first >= 1 && first <= last && last <= 65_535 ? { app, first, last, protocol } : undefined;
}

/** Reads an image's full name. */
function imageName(text: string): string | undefined {
  try {
    return fullName(parseReference(text));
  } catch {
    return undefined;
  }
}

function readApp(entry: string): string | undefined {
  if (entry === "*") return "";
  return isName(entry) ? entry : undefined;
}

/** Refuses paths in a directory that apps may write: they could put a link in the place of one, and so reach any other. */
function refuseNested(paths: readonly PathConsent[]): void {
  for (const outer of paths)
    for (const inner of paths)
      if (!outer.readOnly && isBelow(inner.path, outer.path) && !isGuarded(inner.path))
        throw new DavitError(
          "invalid",
          `Cannot set ${HOST_PATHS}: ${inner.path} lies in ${outer.path}, and an app that writes there could put a link in its place`,
          { hint: `let ${outer.path} be read only, ${outer.path}:ro, or leave one of them out` },
        );
}

/** Paths that give control of the node or of all apps. Consent to a directory above one of them does not include it. */
export const GUARDED = [
  "/run/docker.sock",
  "/run/containerd/containerd.sock",
  "/run/podman/podman.sock",
  "/run/buildkit/buildkitd.sock",
  "/var/lib/docker",
  "/var/lib/containerd",
  "/proc",
  "/sys",
] as const;

function isGuarded(path: string): boolean {
  const place = path.startsWith("/var/run/") ? path.slice("/var".length) : path;
  return GUARDED.some((one) => one === place);
}

/** Whether a path is another, or lies in it. */
export function isWithin(path: string, outer: string): boolean {
  return path === outer || isBelow(path, outer);
}

function isBelow(path: string, outer: string): boolean {
  return path !== outer && path.startsWith(outer === "/" ? "/" : `${outer}/`);
}
