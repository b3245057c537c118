import type { Registry } from "../../rack/registry.ts";
import { problem } from "./problem.ts";

/** What a visitor may do: four rights, each route needs one. */
export type Right = "pull" | "push" | "delete" | "admin";

export interface Visitor {
  /** Uploads belong to one. */
  name: string;
  may(right: Right, repository: string): boolean;
  /** Whether it may set this tag; left out, any. */
  mayTag?(repository: string, tag: string): Promise<boolean>;
}

/** One request, taken apart. */
export interface Call {
  request: Request;
  url: URL;
  registry: Registry;
  visitor: Visitor;
  repository: string;
  /** A tag, a digest, or an upload's id. */
  name: string;
}

export function noRepository(call: Call): Response {
  return problem(404, "NAME_UNKNOWN", "repository name not known to registry", call.repository);
}

export function badDigest(call: Call): Response {
  return problem(400, "DIGEST_INVALID", "invalid digest", call.name.slice(0, 300));
}
