import { dirname } from "node:path";

/**
 * What can go wrong, as a closed set. A new failure is a new member here, and
 * the compiler then lists every table that has to know about it.
 */
export type ErrorCode =
  | "usage" // the command line is wrong
  | "not-found" // absent: an app, a build, a blob, a file
  | "exists" // something of that name is already there
  | "invalid" // a value from the user or the wire has the wrong shape
  | "bad-archive" // an archive is corrupt or hostile
  | "cut-archive" // an archive ends before its end: what came of it was good
  | "mismatch" // bytes differ from the digest or size they were promised under
  | "unsupported" // understood, and not something davit or the other side can do
  | "engine" // the Docker Engine answered with an error
  | "engine-unreachable" // no Docker Engine answers
  | "build-failed" // the engine ran the build, and a step failed
  | "registry" // a registry answered with an error
  | "rack" // a rack answered with an error
  | "unavailable" // a server, or the link to it, failed or fell silent: another try may work
  | "blob-unknown" // a registry lacks a blob that a manifest names
  | "denied" // credentials are missing or not good enough
  | "conflict" // the state of the rack forbids it now
  | "outdated" // what was read has changed meanwhile: read it again
  | "busy" // another process holds what is needed
  | "no-space" // the disk is full
  | "io" // the operating system refused a read or a write
  | "interrupted"; // the user, or a signal, ended it

export interface ErrorDetails {
  cause?: unknown;
  /** What the user can do about it: one sentence, no full stop needed. */
  hint?: string;
  /** How long the other side asks to wait before another try, in milliseconds. */
  retryAfter?: number | undefined;
}

/** The one error class. `message` reads `what failed: why`; causes are kept. */
export class DavitError extends Error {
  override readonly name = "DavitError";
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.hint = details.hint;
    this.retryAfter = details.retryAfter;
  }
}

export function hasCode(error: unknown, ...codes: ErrorCode[]): error is DavitError {
  return error instanceof DavitError && codes.includes(error.code);
}

/** The process's exit code for an error: 2 usage, 130 interrupted, else 1. */
export function exitCode(error: unknown): number {
  if (!(error instanceof DavitError)) return 1;
  if (error.code === "usage") return 2;
  if (error.code === "interrupted") return 130;
  return 1;
}

/** What Bun tells programmers, which is nothing to users. */
const ADVICE = / ?For more information, pass `verbose: true` in the second argument to fetch\(\)/;

/** The text of any thrown value, for a message that goes on with `: why`. */
export function reasonOf(error: unknown): string {
  if (error instanceof Error) return error.message.replace(ADVICE, "");
  return String(error);
}

const SYSTEM_CODES: Record<string, ErrorCode> = {
  ENOSPC: "no-space",
  EDQUOT: "no-space",
  ENOENT: "not-found",
  EEXIST: "exists",
};

const SYSTEM_HINTS: Partial<Record<ErrorCode, string>> = {
  "no-space": "free some space, or move DAVIT_HOME to a larger disk; nothing half-written is left behind",
};

/** Wraps an operating-system error (`ENOSPC`, `EACCES`, …) as ours; ours pass through unchanged. */
export function systemError(what: string, error: unknown): DavitError {
  if (error instanceof DavitError) return error;
  const code = SYSTEM_CODES[systemCode(error) ?? ""] ?? "io";
  const hint = SYSTEM_HINTS[code];
  return new DavitError(code, `${what}: ${plainReason(what, error)}`, {
    cause: error,
    ...(hint ? { hint } : {}),
  });
}

/** `CODE: words, call 'path'`, as Node words a system error. */
const SYSTEM_MESSAGE = /^[A-Z][A-Z0-9]+: ([^,']+), \w+/;

/** The words of a system error, without its code and call; its path follows where `what` does not name it. */
function plainReason(what: string, error: unknown): string {
  const [, words] = SYSTEM_MESSAGE.exec(reasonOf(error)) ?? [];
  if (words === undefined) return reasonOf(error);
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : "";
  return what.includes(dirname(path)) || what.includes(path) ? words : `${words}: ${path}`;
}

/** The `code` of a Node-style system error, such as `ENOENT`. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return undefined;
}
