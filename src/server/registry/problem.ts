import { DavitError, type ErrorCode, hasCode, reasonOf } from "../../errors.ts";

/** https://github.com/opencontainers/distribution-spec/blob/main/spec.md#error-codes */
export type ProblemCode =
  | "BLOB_UNKNOWN"
  | "BLOB_UPLOAD_INVALID"
  | "BLOB_UPLOAD_UNKNOWN"
  | "DIGEST_INVALID"
  | "MANIFEST_BLOB_UNKNOWN"
  | "MANIFEST_INVALID"
  | "MANIFEST_UNKNOWN"
  | "NAME_INVALID"
  | "NAME_UNKNOWN"
  | "SIZE_INVALID"
  | "UNAUTHORIZED"
  | "DENIED"
  | "UNSUPPORTED"
  | "TOOMANYREQUESTS"
  | "RANGE_INVALID"
  | "UNKNOWN";

/** An answer that says what is wrong. */
export function problem(
  status: number,
  code: ProblemCode,
  message: string,
  detail?: unknown,
  headers: Record<string, string> = {},
): Response {
  const errors = [{ code, message, ...(detail === undefined ? {} : { detail }) }];
  return Response.json({ errors }, { status, headers });
}

const STATUSES: Partial<Record<ErrorCode, [number, ProblemCode]>> = {
  mismatch: [400, "DIGEST_INVALID"],
  invalid: [400, "MANIFEST_INVALID"],
  "no-space": [507, "UNKNOWN"],
  busy: [409, "BLOB_UPLOAD_INVALID"],
  "not-found": [404, "MANIFEST_BLOB_UNKNOWN"],
};

/** What went wrong inside, as an answer; the cause stays here. */
export function problemOf(error: unknown): Response {
  const [status, code] = (error instanceof DavitError && STATUSES[error.code]) || [500, "UNKNOWN" as const];
  const retry: Record<string, string> = hasCode(error, "busy") ? { "retry-after": "1" } : {};
  return problem(
    status,
    code,
    error instanceof DavitError ? reasonOf(error) : "internal error",
    undefined,
    retry,
  );
}
