import { check, type Static, Type } from "../schema.ts";
import { type App, type Build, BuildStatus, ZERO_TIME } from "./rack.ts";

export const AppRow = Type.Object({
  name: Type.String(),
  generation: Type.String(),
  status: Type.String(),
  locked: Type.Integer(),
  release: Type.String(),
  parameters: Type.String(),
});

export const BuildRow = Type.Object({
  id: Type.String(),
  app: Type.String(),
  status: BuildStatus,
  description: Type.String(),
  entrypoint: Type.String(),
  git_sha: Type.String(),
  manifest: Type.String(),
  reason: Type.String(),
  release: Type.String(),
  wildcard_domain: Type.Integer(),
  started: Type.String(),
  ended: Type.String(),
  engine: Type.String(),
  index_digest: Type.String(),
  index_size: Type.Integer(),
  log_digest: Type.String(),
  log_size: Type.Integer(),
  owner: Type.String(),
  lease_until: Type.Integer(),
  store: Type.String(),
});
export type BuildRow = Static<typeof BuildRow>;

/** A release as stored: its env is sealed. */
export const ReleaseRow = Type.Object({
  id: Type.String(),
  app: Type.String(),
  build: Type.String(),
  env: Type.String(),
  manifest: Type.String(),
  description: Type.String(),
  created: Type.String(),
});
export type ReleaseRow = Static<typeof ReleaseRow>;

export const ContentRow = Type.Object({
  digest: Type.String(),
  media_type: Type.String(),
  size: Type.Integer(),
});
export type ContentRow = Static<typeof ContentRow>;

const Parameters = Type.Record(Type.String(), Type.String());

export function appOf(row: unknown): App {
  const { name, generation, status, locked, release, parameters } = check(AppRow, row, "the ledger's apps");
  const params = check(Parameters, JSON.parse(parameters), "the ledger's apps");
  return { name, generation, status, locked: locked === 1, release, router: "", parameters: params };
}

export function buildRow(row: unknown): BuildRow {
  return check(BuildRow, row, "the ledger's builds");
}

export function buildOf(row: BuildRow): Build {
  return {
    id: row.id,
    app: row.app,
    description: row.description,
    entrypoint: row.entrypoint,
    "git-sha": row.git_sha,
    logs: row.log_digest === "" ? "" : `object://${row.app}/build/${row.id}/logs`,
    manifest: row.manifest,
    process: "",
    release: row.release,
    reason: row.reason,
    repository: "",
    status: row.status,
    started: row.started,
    ended: row.ended || ZERO_TIME,
    "wildcard-domain": row.wildcard_domain === 1,
    ...(row.index_digest ? { digest: row.index_digest } : {}),
    ...(row.store ? { store: row.store } : {}),
  };
}
