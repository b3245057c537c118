import { type Bytes, collect, decode } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import { discard } from "../http/request.ts";
import { bodyOf } from "../response-body.ts";
import { anyOf, Scanner } from "../scanner.ts";
import { checkJson, Type } from "../schema.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, digestAlgorithm, digestHex } from "./digest.ts";
import { parseManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import type { RegistryRepository } from "./registry-repository.ts";

const TagList = Type.Object({ tags: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])) });
const MAX_LIST = 64 * 1024 * 1024;
/** The largest page of referrers, in bytes, and how many are read of them. */
const MAX_PAGE = 16 * 1024 * 1024;
const MAX_REFERRERS = 1000;

/** Tags of a repository, page after page by the registry's own links. */
export async function* tagsOf(repository: RegistryRepository): AsyncGenerator<string> {
  const client = await repository.client();
  const what = `Cannot list the tags of ${repository.name}`;
  const seen = new Set<string>();
  let path: string | undefined = `/${repository.reference.repository}/tags/list`;
  while (path !== undefined && !seen.has(path)) {
    seen.add(path);
    const response: Response = await client.expect(
      { method: "GET", path, scope: repository.scope, what },
      200,
    );
    const text = decode(await collect(bodyOf(response, what), MAX_LIST, what));
    yield* checkJson(TagList, text, what).tags ?? [];
    path = nextPage(response.headers.get("link"), client.origin);
  }
}

/** A link to the next page; only its path counts, for registries behind proxies get their own host wrong. */
export function nextPage(link: string | null, origin: string): string | undefined {
  const target = nextTarget(link ?? "");
  if (target === undefined || !URL.canParse(target, `${origin}/v2/`)) return undefined;
  const url = new URL(target, `${origin}/v2/`);
  return `${origin}${url.pathname}${url.search}`;
}

const isGap = anyOf(" \t;");

/** The target that a Link header gives `rel="next"`: https://www.rfc-editor.org/rfc/rfc8288#section-3 */
function nextTarget(header: string): string | undefined {
  const scanner = new Scanner(header);
  for (;;) {
    scanner.takeUntil("<");
    scanner.at++;
    const target = scanner.takeUntil(">");
    scanner.at++;
    if (scanner.done) return undefined;
    scanner.take(isGap);
    if (/^rel="?next"?/i.test(header.slice(scanner.at, scanner.at + 10))) return target;
  }
}

/**
 * What refers to a manifest: signatures, SBOMs, attestations.
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
 */
export async function referrersOf(repository: RegistryRepository, subject: Digest): Promise<Descriptor[]> {
  const what = `Cannot list what refers to ${subject}`;
  const response = await repository.send({ method: "GET", path: `/referrers/${subject}`, what });
  const type = response.headers.get("content-type") ?? "";
  const isApi = response.status === 200 && type.startsWith(mediaTypes.ociIndex);
  await (await repository.client()).profile.learn({ referrers: isApi ? "api" : "tags" });
  if (isApi) return await pagesFrom(repository, response, subject);
  await discard(response);
  return await taggedReferrers(repository, subject);
}

async function pagesFrom(
  repository: RegistryRepository,
  first: Response,
  subject: Digest,
): Promise<Descriptor[]> {
  const client = await repository.client();
  const what = `Cannot list what refers to ${subject}`;
  const found: Descriptor[] = [];
  const seen = new Set<string>();
  for (let response = first; ; ) {
    found.push(...manifestsOf(await collect(bodyOf(response, what), MAX_PAGE, what), subject));
    if (found.length > MAX_REFERRERS) throw new DavitError("invalid", `${what}: there are too many`);
    const path = nextPage(response.headers.get("link"), client.origin);
    if (path === undefined || seen.has(path)) return found;
    seen.add(path);
    response = await client.expect({ method: "GET", path, scope: repository.scope, what }, 200);
  }
}

/** Registries without that list have it in a tag, which clients keep. */
export async function taggedReferrers(
  repository: RegistryRepository,
  subject: Digest,
): Promise<Descriptor[]> {
  try {
    return manifestsOf((await repository.manifest(referrersTag(subject))).bytes, subject);
  } catch (error) {
    if (hasCode(error, "not-found")) return [];
    throw error;
  }
}

export function referrersTag(subject: Digest): string {
  return `${digestAlgorithm(subject)}-${digestHex(subject)}`.slice(0, 128);
}

function manifestsOf(bytes: Bytes, subject: Digest): Descriptor[] {
  const descriptor = { mediaType: mediaTypes.ociIndex, digest: subject, size: bytes.byteLength };
  const manifest = parseManifest(bytes, descriptor);
  return manifest.kind === "index" ? manifest.manifests : [];
}
