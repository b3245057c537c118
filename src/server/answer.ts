import { DavitError, type ErrorCode, reasonOf } from "../errors.ts";

const STATUSES: Partial<Record<ErrorCode, number>> = {
  usage: 400,
  invalid: 400,
  "bad-archive": 400,
  "cut-archive": 400,
  mismatch: 400,
  denied: 403,
  "not-found": 404,
  exists: 409,
  conflict: 409,
  outdated: 409,
  busy: 409,
  "build-failed": 422,
  unsupported: 501,
  unavailable: 503,
  "no-space": 507,
};

/** JSON as the original writes it: two spaces, and a line end. */
export function json(value: unknown, status = 200): Response {
  return new Response(`${JSON.stringify(value, undefined, 2)}\n`, {
    status,
    headers: { "content-type": "application/json" },
  });
}

export function ok(): Response {
  return new Response("ok\n", { headers: { "content-type": "text/plain; charset=utf-8" } });
}

/** An error in the words it has; the hint and the code are for clients that ask for JSON. */
export function failure(error: unknown, request: Request): Response {
  const known = error instanceof DavitError;
  const status = (known ? STATUSES[error.code] : undefined) ?? 500;
  const message = printable(reasonOf(error), request);
  const wantsJson = /\bapplication\/json\b/.test(request.headers.get("accept") ?? "");
  return wantsJson ? json({ ...told(error), error: message }, status) : problem(status, message);
}

/** An error as other davits are told it. */
export function told(error: unknown): { error: string; code?: ErrorCode; hint?: string } {
  const text = { error: reasonOf(error) };
  if (!(error instanceof DavitError)) return text;
  return { ...text, code: error.code, ...(error.hint ? { hint: error.hint } : {}) };
}

export function problem(status: number, message: string, headers: Record<string, string> = {}): Response {
  return new Response(`${message}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", ...headers },
  });
}

/** The `convox` CLI takes an error's text for a format. */
function printable(message: string, request: Request): string {
  return (request.headers.get("user-agent") ?? "").startsWith("convox.go")
    ? message.replaceAll("%", "%%")
    : message;
}
