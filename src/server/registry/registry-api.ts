import { isRepository } from "../../oci/reference.ts";
import type { Registry } from "../../rack/registry.ts";
import { blob, deleteBlob } from "./blobs.ts";
import type { Call, Right, Visitor } from "./call.ts";
import { deleteManifest, manifest, putManifest, referrers } from "./manifests.ts";
import { problem, problemOf } from "./problem.ts";
import { catalog, tagList } from "./tags.ts";
import { beginUpload, cancelUpload, finishUpload, patchUpload, uploadStatus } from "./uploads.ts";

interface Route {
  method: string;
  right: Right;
  run(call: Call): Promise<Response>;
}

/** What there is below a repository's name, by kind of path. */
export const ROUTES: Readonly<Record<string, readonly Route[]>> = {
  blobs: [
    { method: "GET", right: "pull", run: blob },
    { method: "HEAD", right: "pull", run: blob },
    { method: "DELETE", right: "delete", run: deleteBlob },
  ],
  manifests: [
    { method: "GET", right: "pull", run: manifest },
    { method: "HEAD", right: "pull", run: manifest },
    { method: "PUT", right: "push", run: putManifest },
    { method: "DELETE", right: "delete", run: deleteManifest },
  ],
  uploads: [
    { method: "GET", right: "push", run: uploadStatus },
    { method: "PATCH", right: "push", run: patchUpload },
    { method: "PUT", right: "push", run: finishUpload },
    { method: "DELETE", right: "push", run: cancelUpload },
  ],
  start: [{ method: "POST", right: "push", run: beginUpload }],
  referrers: [{ method: "GET", right: "pull", run: referrers }],
  tags: [{ method: "GET", right: "pull", run: tagList }],
};

const PATHS: [kind: string, pattern: RegExp][] = [
  ["start", /^\/v2\/(.+)\/blobs\/uploads\/?()$/],
  ["uploads", /^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/],
  ["blobs", /^\/v2\/(.+)\/blobs\/([^/]+)$/],
  ["manifests", /^\/v2\/(.+)\/manifests\/([^/]+)$/],
  ["referrers", /^\/v2\/(.+)\/referrers\/([^/]+)$/],
  ["tags", /^\/v2\/(.+)\/tags\/list()$/],
];

/** Answers everything below `/v2`: https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints */
export async function registryApi(request: Request, registry: Registry, visitor: Visitor): Promise<Response> {
  const response = await answer(request, registry, visitor).catch(problemOf);
  response.headers.set("docker-distribution-api-version", "registry/2.0");
  return response;
}

async function answer(request: Request, registry: Registry, visitor: Visitor): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname === "/v2/" || url.pathname === "/v2") return Response.json({});
  if (url.pathname === "/v2/_catalog")
    return await catalog({ request, url, registry, visitor, repository: "", name: "" });
  for (const [kind, pattern] of PATHS) {
    const [, repository, encoded] = pattern.exec(url.pathname) ?? [];
    if (repository === undefined || encoded === undefined) continue;
    if (!isRepository(repository))
      return problem(400, "NAME_INVALID", "invalid repository name", repository.slice(0, 300));
    const route = ROUTES[kind]?.find(({ method }) => method === request.method);
    if (!route) return notAllowed(kind);
    if (!visitor.may(route.right, repository))
      return problem(403, "DENIED", `this login may not ${route.right} here`, repository);
    return await route.run({ request, url, registry, visitor, repository, name: decoded(encoded) });
  }
  return problem(404, "UNSUPPORTED", "no such endpoint", url.pathname.slice(0, 300));
}

function notAllowed(kind: string): Response {
  const allow = (ROUTES[kind] ?? []).map(({ method }) => method).join(", ");
  return problem(405, "UNSUPPORTED", "the operation is unsupported", undefined, { allow });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
