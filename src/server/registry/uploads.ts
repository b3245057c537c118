import { hasCode } from "../../errors.ts";
import { type Digest, isDigest } from "../../oci/digest.ts";
import type { Upload } from "../../rack/place.ts";
import type { Repository } from "../../rack/repository.ts";
import { bodyOf } from "../body.ts";
import { type Call, noRepository } from "./call.ts";
import { problem } from "./problem.ts";

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs: begins an upload, mounts a blob, or takes a whole one. */
export async function beginUpload(call: Call): Promise<Response> {
  const repository = await call.registry.writable(call.repository);
  if (!repository) return noRepository(call);
  const { searchParams } = call.url;
  const mount = searchParams.get("mount");
  if (mount !== null && !isDigest(mount))
    return problem(400, "DIGEST_INVALID", "invalid digest", mount.slice(0, 300));
  if (mount !== null && (await mounted(call, repository, mount))) return created(call, mount);
  const id = await repository.beginUpload(call.visitor.name);
  if (id === undefined)
    return problem(429, "TOOMANYREQUESTS", "too many uploads under way", undefined, { "retry-after": "30" });
  const digest = searchParams.get("digest");
  if (digest === null || searchParams.get("mount") !== null) return accepted(call, id, 0);
  return await finishUpload({ ...call, name: id });
}

async function mounted(call: Call, repository: Repository, digest: Digest): Promise<boolean> {
  const named = call.url.searchParams.get("from");
  const holders = named === null ? await call.registry.ledger.holdersOf(digest) : [named];
  const from = holders.find((name) => call.visitor.may("pull", name));
  const source = from === undefined ? undefined : await call.registry.repository(from);
  const blob = await source?.readable(digest);
  return blob !== undefined && (await repository.mount(blob));
}

export async function uploadStatus(call: Call): Promise<Response> {
  return await onUpload(call, async ({ offset }) => accepted(call, call.name, offset, 204));
}

/** One chunk, or the whole blob without knowing its length. */
export async function patchUpload(call: Call): Promise<Response> {
  return await onUpload(call, async (upload, repository) => {
    const wrong = outOfOrder(call, upload);
    if (wrong) return wrong;
    const broken = await receive(call, upload, repository);
    return broken ?? accepted(call, call.name, upload.offset);
  });
}

/** The last chunk, if any, and the digest. */
export async function finishUpload(call: Call): Promise<Response> {
  const digests = call.url.searchParams.getAll("digest");
  const [digest = ""] = digests;
  if (digests.length !== 1 || !isDigest(digest))
    return problem(400, "DIGEST_INVALID", "one digest is needed", digest.slice(0, 300));
  return await onUpload(call, async (upload, repository) => {
    const wrong = outOfOrder(call, upload);
    if (wrong) return wrong;
    const broken = await receive(call, upload, repository);
    if (broken) return broken;
    await repository.commitUpload(call.name, upload, digest);
    return created(call, digest);
  });
}

export async function cancelUpload(call: Call): Promise<Response> {
  return await onUpload(call, async (upload, repository) => {
    await repository.endUpload(call.name, upload);
    return new Response(null, { status: 204 });
  });
}

async function onUpload(
  call: Call,
  work: (upload: Upload, repository: Repository) => Promise<Response>,
): Promise<Response> {
  const repository = await call.registry.repository(call.repository);
  const response = await repository?.withUpload(call.name, call.visitor.name, (upload) =>
    work(upload, repository),
  );
  return (
    response ??
    problem(404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry", call.name.slice(0, 300))
  );
}

/** A chunk must begin where the upload stands, and be as long as it says. */
function outOfOrder(call: Call, upload: Upload): Response | undefined {
  const header = call.request.headers.get("content-range");
  if (header === null) return undefined;
  const [, from, to] = /^(?:bytes )?(\d{1,15})-(\d{1,15})(?:\/.*)?$/.exec(header) ?? [];
  const length = call.request.headers.get("content-length");
  const fits =
    from !== undefined &&
    Number(from) === upload.offset &&
    (length === null || Number(to) - Number(from) + 1 === Number(length));
  if (fits) return undefined;
  const headers = progressHeaders(call, call.name, upload.offset);
  return problem(
    416,
    "RANGE_INVALID",
    `the upload stands at ${upload.offset}`,
    header.slice(0, 100),
    headers,
  );
}

/** Reads the body; of one that breaks off, what has come is kept. */
async function receive(call: Call, upload: Upload, repository: Repository): Promise<Response | undefined> {
  if (!call.request.body) return undefined;
  try {
    await repository.append(call.name, upload, bodyOf(call.request));
    return undefined;
  } catch (error) {
    if (!call.request.signal.aborted || hasCode(error, "no-space", "io")) throw error;
    return problem(400, "BLOB_UPLOAD_INVALID", "the body broke off", { offset: upload.offset });
  }
}

function progressHeaders(call: Call, id: string, offset: number): Record<string, string> {
  return {
    location: `/v2/${call.repository}/blobs/uploads/${id}`,
    range: `0-${Math.max(0, offset - 1)}`,
    "docker-upload-uuid": id,
  };
}

function accepted(call: Call, id: string, offset: number, status = 202): Response {
  return new Response(null, {
    status,
    headers: { ...progressHeaders(call, id, offset), "content-length": "0" },
  });
}

function created(call: Call, digest: Digest): Response {
  const headers = {
    location: `/v2/${call.repository}/blobs/${digest}`,
    "docker-content-digest": digest,
    "content-length": "0",
  };
  return new Response(null, { status: 201, headers });
}
