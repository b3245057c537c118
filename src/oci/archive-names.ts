import { bad, shown } from "../tar/header.ts";
import type { TarEntry } from "../tar/read.ts";
import { type Digest, isDigest } from "./digest.ts";

/** An entry's name without `./`. Only plain files and directories belong in a layout, and no name may lead out of it. */
export function checkedName(entry: TarEntry): string {
  const name = entry.name.replace(/^(\.\/)+/, "");
  const type = entry.type;
  if (type !== "file" && type !== "directory")
    throw bad(`entry ${shown(entry.name)} is a ${type}, and only plain files belong in it`);
  const hostile =
    name.startsWith("/") || name.includes("\\") || /^[a-z]:/i.test(name) || name.split("/").includes("..");
  if (hostile) throw bad(`entry ${shown(entry.name)} has a name that leads out of it`);
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name))
    throw bad(`entry ${shown(entry.name)} has control characters in its name`);
  const known = ["oci-layout", "index.json"].find((file) => file !== name && file === name.toLowerCase());
  if (known) throw bad(`entry ${shown(entry.name)} differs from ${known} only in case`);
  return name;
}

/** The digest a `blobs/` entry is named by; undefined for other entries. */
export function blobDigest(name: string): Digest | undefined {
  const match = /^blobs\/([^/]+)\/([^/]+)$/.exec(name);
  if (!match) return undefined;
  const digest = `${match[1]}:${match[2]}`;
  if (!isDigest(digest)) throw bad(`entry ${shown(name)} is not named by a sha256 or sha512 digest`);
  return digest;
}
