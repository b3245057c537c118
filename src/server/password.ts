import { timingSafeEqual } from "node:crypto";
import { digestOf } from "../oci/digest.ts";

/** Wrong passwords that one address may try in a second. */
const TRIES = 5;

/**
 * One password for everyone, by HTTP's basic scheme and any user name. Compared
 * in constant time; who guesses too fast has to wait.
 */
export class PasswordGate {
  readonly #expected: Buffer;
  readonly #failures = new Map<string, { count: number; since: number }>();

  constructor(password: string) {
    this.#expected = fingerprint(password);
  }

  /** Undefined lets the request in. */
  check(request: Request, address: string): Response | undefined {
    const failures = this.#failures.get(address);
    const recent = failures && performance.now() - failures.since < 1000 ? failures : undefined;
    if (recent && recent.count >= TRIES) return refusal(429);
    if (this.#holds(basicOf(request)?.password ?? "")) return undefined;
    if (request.headers.has("authorization"))
      this.#failures.set(address, {
        count: (recent?.count ?? 0) + 1,
        since: recent?.since ?? performance.now(),
      });
    if (this.#failures.size > 10_000) this.#failures.clear();
    return refusal(401);
  }

  /** Some clients send a password as it stands in an address, percent-encoded. */
  #holds(password: string): boolean {
    const raw = timingSafeEqual(fingerprint(password), this.#expected);
    const decoded = timingSafeEqual(fingerprint(percentDecoded(password)), this.#expected);
    return raw || decoded;
  }
}

/** In the form that clients of registries read. */
export function refusal(status: number): Response {
  const headers: Record<string, string> =
    status === 401 ? { "www-authenticate": 'Basic realm="davit"' } : { "retry-after": "1" };
  const code = status === 401 ? "UNAUTHORIZED" : "TOOMANYREQUESTS";
  const message = status === 401 ? "authentication required" : "too many wrong passwords";
  return Response.json({ errors: [{ code, message }] }, { status, headers });
}

export interface Basic {
  user: string;
  password: string;
}

/** What HTTP's basic scheme says: https://www.rfc-editor.org/rfc/rfc7617 */
export function basicOf(request: Request): Basic | undefined {
  const [, encoded] = /^basic ([a-z0-9+/=]+)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  return { user: pair.slice(0, Math.max(0, colon)), password: pair.slice(colon + 1) };
}

function percentDecoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function fingerprint(text: string): Buffer {
  return Buffer.from(digestOf(new TextEncoder().encode(text)));
}
