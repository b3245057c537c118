import { type Bytes, firstBytes, toReadable } from "../../bytes.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import type { Repository } from "../../rack/repository.ts";
import { badDigest, type Call, noRepository } from "./call.ts";
import { problem } from "./problem.ts";

/** Content never changes under its digest. */
const UNTYPED = "application/octet-stream";
const FOREVER = "public, max-age=31536000, immutable";

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-blobs */
export async function blob(call: Call): Promise<Response> {
  const { name: digest, request, visitor } = call;
  if (!isDigest(digest)) return badDigest(call);
  const repository = await call.registry.repository(call.repository);
  const pin = request.method === "HEAD" && visitor.may("push", call.repository);
  const size = await repository?.blob(digest, pin);
  if (!repository || size === undefined) return unknown(digest);
  const headers = {
    "content-type": UNTYPED,
    "docker-content-digest": digest,
    "accept-ranges": "bytes",
    "cache-control": FOREVER,
    etag: `"${digest}"`,
  };
  if (request.headers.get("if-none-match") === `"${digest}"`)
    return new Response(null, { status: 304, headers });
  if (request.method === "HEAD")
    return new Response(null, { headers: { ...headers, "content-length": String(size) } });
  const range = rangeOf(request.headers.get("range"), size);
  if (range === "outside")
    return problem(416, "RANGE_INVALID", "no such range", { size }, { "content-range": `bytes */${size}` });
  if (size === 0) return new Response(null, { headers: { ...headers, "content-length": "0" } });
  const [from, to] = range ?? [0, size - 1];
  const body = await bytesOf(repository, digest, { from, to, size });
  if (!range) return new Response(body, { headers });
  return new Response(body, {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${from}-${to}/${size}` },
  });
}

/** A file is sent by the operating system; what lies elsewhere passes through here. */
async function bytesOf(
  repository: Repository,
  digest: Digest,
  { from, to, size }: { from: number; to: number; size: number },
): Promise<Blob | ReadableStream<Bytes>> {
  const path = await repository.path(digest);
  const file = path === undefined ? undefined : Bun.file(path);
  if (file) return from === 0 && to === size - 1 ? file : file.slice(from, to + 1);
  const stream = await repository.read({ mediaType: UNTYPED, digest, size }, from);
  return toReadable(to === size - 1 ? stream : firstBytes(stream, to + 1 - from));
}

function unknown(digest: Digest): Response {
  return problem(404, "BLOB_UNKNOWN", "blob unknown to registry", digest);
}

/** One range of bytes, as https://www.rfc-editor.org/rfc/rfc9110#section-14 has it; what is no such range is ignored. */
export function rangeOf(
  header: string | null,
  size: number,
): [from: number, to: number] | "outside" | undefined {
  const [, first = "", last = ""] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "") ?? [];
  if (first === "" && last === "") return undefined;
  if (first === "")
    return Number(last) === 0 || size === 0 ? "outside" : [Math.max(0, size - Number(last)), size - 1];
  const [from, to] = [Number(first), last === "" ? size - 1 : Math.min(Number(last), size - 1)];
  return from >= size || to < from ? "outside" : [from, to];
}

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#deleting-blobs */
export async function deleteBlob(call: Call): Promise<Response> {
  const digest = call.name;
  if (!isDigest(digest)) return badDigest(call);
  const repository = await call.registry.repository(call.repository);
  if (!repository) return noRepository(call);
  const outcome = await repository.deleteBlob(digest);
  if (outcome === "deleted") return new Response(null, { status: 202 });
  if (outcome === "absent") return unknown(digest);
  return problem(405, "UNSUPPORTED", "a manifest of this repository needs the blob", { manifest: outcome });
}
