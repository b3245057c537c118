import { Project } from "../build/project.ts";
import { unpack } from "../build/unpack.ts";
import type { ByteStream } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { fetched, type Sourced } from "./embedded-build.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { keyReach, withheld } from "./key-reach.ts";
import type { SourceMirrors } from "./source-mirrors.ts";

/** A source that a client named for a build. */
export interface ServedSource extends Disposable {
  /** Brings it into a directory: the given one, which is empty, or another. */
  open<T extends { url: string; manifest: string; byKey?: boolean }>(
    request: T,
    dir: string,
    signal: AbortSignal,
  ): Promise<Sourced<T>>;
}

/** What a rack has of its clients' sources. */
export interface Sources {
  mirrors: SourceMirrors;
  object(app: string, key: string): Promise<{ stream: ByteStream }>;
}

/** Finds what an address means: an object or a mirror of the rack's own, or a place elsewhere. */
export async function findSource(
  parts: EmbeddedParts,
  sources: Sources,
  app: string,
  url: string,
): Promise<ServedSource> {
  if (url === "") throw new DavitError("invalid", "no build source found");
  const [, scheme, owner, key = ""] = /^(object|tree):\/\/([^/]*)\/(.+)$/.exec(url) ?? [];
  if (scheme === undefined) return await elsewhere(parts, app, url);
  if (owner !== app) throw new DavitError("denied", `the source belongs to app ${owner}`);
  const id = await parts.ledger.apps.id(app);
  return scheme === "tree" ? mirrored(sources, id, key) : await uploaded(parts, sources, app, key);
}

async function uploaded(
  parts: EmbeddedParts,
  sources: Sources,
  app: string,
  key: string,
): Promise<ServedSource> {
  const { objects } = parts.ledger;
  if (!(await objects.find(app, key))) throw new DavitError("not-found", `object not found: ${key}`);
  return {
    async open(request, dir, signal) {
      await unpack((await sources.object(app, key)).stream, dir, signal);
      if (key.startsWith("tmp/")) await objects.remove(app, key);
      return { ...request, project: await Project.open(dir, request.manifest) };
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** The mirror is the build's until the build has ended. */
function mirrored({ mirrors }: Sources, app: string, id: string): ServedSource {
  const held = mirrors.take(app, id);
  if (!held) throw new DavitError("outdated", "the source is not here any more", { hint: "build again" });
  return {
    open: async (request) => ({ ...request, project: await Project.open(held.dir, request.manifest) }),
    [Symbol.dispose]: () => held[Symbol.dispose](),
  };
}

/** Whoever may build could have this machine ask others for anything: operators allow it first. */
async function elsewhere(parts: EmbeddedParts, app: string, url: string): Promise<ServedSource> {
  const { parseSourceUrl } = await import("../build/source-url.ts");
  if (!/^((https?|ssh):|[\w.-]+@)/.test(url) || !parseSourceUrl(url))
    throw new DavitError("invalid", "unknown source type");
  if ((await parts.settings.param("BuildFromUrls")) !== "Yes")
    throw new DavitError("denied", "this rack builds from no addresses", {
      hint: "`davit rack params set BuildFromUrls=Yes`, or build where the source is",
    });
  return {
    async open(request, dir, signal) {
      if (!request.byKey) return await fetched(parts, dir, request, signal);
      const reach = await keyReach(parts, app);
      return await fetched({ env: parts.env, reach }, dir, request, signal).catch((error: unknown) => {
        throw withheld("the source", error);
      });
    },
    [Symbol.dispose]: () => undefined,
  };
}
