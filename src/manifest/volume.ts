/** A directory in a service's containers, and where its content lies. */
export interface Volume {
  /** A directory of the node, or a volume of the service's own. */
  kind: "host" | "own";
  /** The path of the node's directory, or the name of the volume among those of its service. */
  source: string;
  /** The directory in the container. */
  target: string;
  readOnly: boolean;
}

/** The longest text of a volume. */
const LONGEST = 1024;
const OWN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/;

/** Reads `PATH`, `NAME:PATH` or `/DIR:PATH`, each with `:ro` or `:rw` after it. `volumeFault` tells what is wrong with one. */
export function parseVolume(text: string): Volume {
  const parts = text.split(":");
  const mode = parts.length > 1 && ["ro", "rw"].includes(parts.at(-1) ?? "") ? parts.pop() : undefined;
  const [source = "", target = source] = parts;
  const readOnly = mode === "ro";
  if (parts.length === 1)
    return { kind: "own", source: target.replace(/^\/+/, "").replaceAll("/", "-"), target, readOnly };
  return source.startsWith("/")
    ? { kind: "host", source: trimSlash(source), target, readOnly }
    : { kind: "own", source, target, readOnly };
}

/** Why a volume cannot be used, or undefined. */
export function volumeFault(text: string): string | undefined {
  const parts = text.split(":");
  if (text.length > LONGEST) return "it is too long";
  if (parts.length > 3 || (parts.length === 3 && !["ro", "rw"].includes(parts[2] ?? "")))
    return "it is neither PATH, NAME:PATH nor /DIR:PATH, with or without :ro";
  const { kind, source, target } = parseVolume(text);
  if (!isPlainPath(target) || trimSlash(target) === "/")
    return "its place in the container is no absolute path";
  if (target === OURS || target.startsWith(`${OURS}/`)) return `${OURS} is davit's own`;
  if (kind === "host") return isPlainPath(source) ? undefined : "its directory is no absolute path";
  if (parts.length > 1 && !OWN.test(source)) return "its name is not like a-z, 0-9, -, _ and .";
  return undefined;
}

/** Where our own programs lie in containers. */
const OURS = "/.davit";

/** Whether a path is absolute and in its shortest form: without `.`, `..`, `//` and control characters. */
export function isPlainPath(path: string): boolean {
  if (!path.startsWith("/") || /\p{Cc}/u.test(path)) return false;
  const inner = trimSlash(path);
  return (
    inner === "/" ||
    !inner
      .slice(1)
      .split("/")
      .some((part) => ["", ".", ".."].includes(part))
  );
}

export function trimSlash(path: string): string {
  return path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
}
