import type { Bytes } from "../../bytes.ts";
import { hasCode } from "../../errors.ts";
import { type Digest, digestAlgorithm, digestOf, isDigest } from "../../oci/digest.ts";
import { MAX_MANIFEST, parseManifest, renderManifest } from "../../oci/manifest.ts";
import { isManifestType, mediaTypes } from "../../oci/media-types.ts";
import { TAG } from "../../oci/reference.ts";
import { wholeBody } from "../body.ts";
import { badDigest, type Call, noRepository } from "./call.ts";
import { problem } from "./problem.ts";

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests */
export async function manifest(call: Call): Promise<Response> {
  const { name, request, visitor } = call;
  if (!isDigest(name) && !TAG.test(name)) return unknown(name);
  const pin = request.method === "HEAD" && visitor.may("push", call.repository);
  const repository = await call.registry.repository(call.repository);
  const found = await repository?.manifest(name, pin);
  if (!found) return unknown(name);
  const { descriptor, bytes } = found;
  const headers = {
    "content-type": descriptor.mediaType,
    "docker-content-digest": descriptor.digest,
    "content-length": String(descriptor.size),
    etag: `"${descriptor.digest}"`,
  };
  if (request.headers.get("if-none-match") === headers.etag) return new Response(null, { status: 304 });
  return new Response(request.method === "HEAD" ? null : bytes, { headers });
}

function unknown(name: string): Response {
  return problem(404, "MANIFEST_UNKNOWN", "manifest unknown to registry", name.slice(0, 300));
}

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-manifests */
export async function putManifest(call: Call): Promise<Response> {
  const { name } = call;
  const tags = [...call.url.searchParams.getAll("tag"), ...(isDigest(name) ? [] : [name])];
  const badTag = tags.find((tag) => !TAG.test(tag));
  if (badTag !== undefined || (name.includes(":") && !isDigest(name)))
    return problem(
      400,
      name.includes(":") ? "DIGEST_INVALID" : "MANIFEST_INVALID",
      "invalid tag or digest",
      name.slice(0, 300),
    );
  const mediaType = call.request.headers.get("content-type")?.split(";")[0]?.trim() ?? "";
  const body = await bodyOf(call);
  if (body === undefined) return problem(413, "SIZE_INVALID", `a manifest has ${MAX_MANIFEST} bytes at most`);
  const digest = digestOf(body, isDigest(name) ? digestAlgorithm(name) : "sha256");
  if (isDigest(name) && name !== digest)
    return problem(400, "DIGEST_INVALID", "the manifest's digest is another", { sent: name, found: digest });
  if (!isManifestType(mediaType))
    return problem(400, "MANIFEST_INVALID", "not a type of manifest", mediaType);
  for (const tag of tags)
    if ((await call.visitor.mayTag?.(call.repository, tag)) === false)
      return problem(403, "DENIED", "this tag is a finished build's, or not yours", tag);
  return await store(call, { mediaType, digest, size: body.byteLength }, body, tags);
}

async function store(
  call: Call,
  descriptor: { mediaType: string; digest: Digest; size: number },
  bytes: Bytes,
  tags: string[],
): Promise<Response> {
  const { subject } = parseManifest(bytes, descriptor);
  const repository = await call.registry.writable(call.repository);
  if (!repository) return noRepository(call);
  try {
    await repository.putManifest(descriptor, bytes, tags, call.url.searchParams.get("staged") === "true");
  } catch (error) {
    if (!hasCode(error, "not-found")) throw error;
    const missing = /sha(?:256|512):[0-9a-f]+/.exec(error.message)?.[0];
    return problem(404, "MANIFEST_BLOB_UNKNOWN", "the manifest names what is not here", missing);
  }
  const headers = new Headers({
    location: `/v2/${call.repository}/manifests/${descriptor.digest}`,
    "docker-content-digest": descriptor.digest,
    "content-length": "0",
  });
  if (subject) headers.set("oci-subject", subject.digest);
  for (const tag of call.url.searchParams.getAll("tag")) headers.append("oci-tag", tag);
  return new Response(null, { status: 201, headers });
}

/** The body, or undefined when it is too large: it is not read on then. */
async function bodyOf({ request, visitor }: Call): Promise<Bytes | undefined> {
  try {
    return await wholeBody(request, visitor.name, MAX_MANIFEST, "the manifest");
  } catch (error) {
    if (hasCode(error, "invalid")) return undefined;
    throw error;
  }
}

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#deleting-manifests */
export async function deleteManifest(call: Call): Promise<Response> {
  const { name } = call;
  const repository = await call.registry.repository(call.repository);
  if (!repository) return noRepository(call);
  const done = isDigest(name) ? await repository.deleteManifest(name) : await repository.deleteTag(name);
  return done ? new Response(null, { status: 202 }) : unknown(name);
}

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers */
export async function referrers(call: Call): Promise<Response> {
  if (!isDigest(call.name)) return badDigest(call);
  const wanted = call.url.searchParams.get("artifactType");
  const repository = await call.registry.repository(call.repository);
  const all = (await repository?.referrers(call.name, call.url.searchParams.get("last") ?? "")) ?? [];
  const manifests = wanted === null ? all : all.filter(({ artifactType }) => artifactType === wanted);
  const filtered: Record<string, string> = wanted === null ? {} : { "oci-filters-applied": "artifactType" };
  const index = renderManifest({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
  const next: Record<string, string> = {};
  const last = all.at(-1)?.digest;
  if (last !== undefined && ((await repository?.referrers(call.name, last)) ?? []).length > 0)
    next["link"] = `<${nextPage(call.url, last)}>; rel="next"`;
  return new Response(index, { headers: { "content-type": mediaTypes.ociIndex, ...filtered, ...next } });
}

function nextPage({ pathname, search }: URL, last: string): string {
  const query = new URLSearchParams(search);
  query.set("last", last);
  return `${pathname}?${query}`;
}
