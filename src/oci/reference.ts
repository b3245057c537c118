import { DavitError } from "../errors.ts";
import { type Digest, isDigest, parseDigest } from "./digest.ts";

/** An image's name, in full: https://github.com/distribution/reference */
export interface Reference {
  /** Registry host, with its port if it has one. */
  host: string;
  repository: string;
  tag: string | undefined;
  digest: Digest | undefined;
}

/** Longer texts are no names: 255 characters of a host and of a repository each, a tag, a digest. */
const MAX_LENGTH = 1024;
const MAX_REPOSITORY = 255;
const REPOSITORY = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
export const TAG = /^\w[\w.-]{0,127}$/;
const HOST = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::\d{1,5})?$/;
export const DOCKER_HUB = "docker.io";

export function isRepository(text: string): boolean {
  return text.length <= MAX_REPOSITORY && REPOSITORY.test(text);
}

/** Reads `[host/]repository[:tag][@digest]` as docker does: no host is Docker Hub, no tag and digest is `latest`. */
export function parseReference(text: string): Reference {
  const [name = "", digestText] = splitOnce(text, "@");
  const digest = digestText === undefined ? undefined : parseDigest(digestText);
  const colon = name.lastIndexOf(":");
  const hasTag = colon > name.lastIndexOf("/");
  const path = hasTag ? name.slice(0, colon) : name;
  const tag = hasTag ? name.slice(colon + 1) : digest ? undefined : "latest";
  const { host, repository } = splitHost(path);
  if (
    text.length > MAX_LENGTH ||
    !isRepository(repository) ||
    !isHost(host) ||
    (tag !== undefined && !TAG.test(tag))
  )
    throw new DavitError(
      "invalid",
      `Cannot use image name ${JSON.stringify(text.slice(0, 300))}: it is not like host/name:tag`,
    );
  return { host, repository, tag, digest };
}

function isHost(text: string): boolean {
  return text.length <= MAX_LENGTH && HOST.test(text);
}

/** The whole name, host and all: by its digest where it has one. */
export function fullName({ host, repository, tag, digest }: Reference): string {
  return `${host}/${repository}${digest === undefined ? `:${tag ?? "latest"}` : `@${digest}`}`;
}

/** A tag or a digest becomes part of an address: anything else would lead elsewhere in the registry. */
export function requireRef(ref: string): void {
  if (!TAG.test(ref) && !isDigest(ref))
    throw new DavitError(
      "invalid",
      `Cannot use ${JSON.stringify(ref.slice(0, 300))}: it is no tag and no digest`,
    );
}

/** A registry's host by itself. */
export function checkHost(host: string): string {
  if (isHost(host)) return host;
  throw new DavitError(
    "usage",
    `Cannot use ${JSON.stringify(host.slice(0, 300))}: it is not a registry's host`,
  );
}

function splitHost(path: string): { host: string; repository: string } {
  const [first = "", rest] = splitOnce(path, "/");
  const named =
    rest !== undefined && (/[.:]/.test(first) || first === "localhost" || first !== first.toLowerCase());
  const host = named ? first : DOCKER_HUB;
  const repository = named ? rest : path;
  if (host !== DOCKER_HUB && host !== "index.docker.io") return { host, repository };
  return { host: DOCKER_HUB, repository: repository.includes("/") ? repository : `library/${repository}` };
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
