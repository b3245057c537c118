import { existsSync, statSync } from "node:fs";
import { DavitError } from "../errors.ts";
import { parseReference, type Reference } from "../oci/reference.ts";

/** Where images can be: the arguments of `copy`, `inspect`, `push` and `pull`. */
export type Place =
  | { kind: "registry"; reference: Reference /** Whether a tag or a digest was given. */; named: boolean }
  | { kind: "layout"; path: string; name: string | undefined }
  | { kind: "archive"; path: string; name: string | undefined }
  | { kind: "docker"; image: string };

/** Reads `oci:DIR[:NAME]`, `archive:FILE[:NAME]`, `docker:IMAGE`; anything else names an image in a registry. */
export function parsePlace(text: string): Place {
  const [, scheme = "", rest = ""] = /^(oci|archive|docker):(.*)$/s.exec(text) ?? [];
  if (scheme !== "" && rest === "")
    throw new DavitError("usage", `Cannot use ${JSON.stringify(text)}: there is nothing after the colon`);
  if (scheme === "docker") return { kind: "docker", image: rest.replace(/^\/\//, "") };
  if (scheme === "oci") return { kind: "layout", ...pathAndName(rest) };
  if (scheme === "archive") return { kind: "archive", ...pathAndName(rest) };
  return registryPlace(text);
}

export function registryPlace(text: string): Place & { kind: "registry" } {
  const bare = text.replace(/^(docker|oci):\/\//, "");
  if (/^[-./~]/.test(bare) || bare === "")
    throw new DavitError(
      "usage",
      `Cannot use ${JSON.stringify(text)} as an image's name: it is not like host/name:tag`,
    );
  const reference = parseReference(bare);
  const named = reference.digest !== undefined || hasTag(bare.split("@")[0] ?? "");
  return { kind: "registry", reference, named };
}

function hasTag(name: string): boolean {
  return name.lastIndexOf(":") > name.lastIndexOf("/");
}

/** A colon may be part of a path; what is there wins. */
function pathAndName(text: string): { path: string; name: string | undefined } {
  if (existsSync(text)) return { path: text, name: undefined };
  const colon = text.indexOf(":", Math.max(1, text.lastIndexOf("/") + 1));
  const none = colon < 0 || colon === text.length - 1;
  return none ? { path: text, name: undefined } : { path: text.slice(0, colon), name: text.slice(colon + 1) };
}

export function isDirectory(path: string): boolean {
  return path.endsWith("/") || (existsSync(path) && statSync(path).isDirectory());
}
