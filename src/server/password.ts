import { timingSafeEqual } from "node:crypto";
import { digestOf } from "../oci/digest.ts";
import { Guesses } from "./guesses.ts";

/**
 * One password for everyone, by HTTP's basic scheme and any user name, compared in
 * constant time. The right one always gets in; wrong ones are slowed.
 */
export class PasswordGate {
  readonly #expected: Buffer;
  readonly #guesses = new Guesses();

  constructor(password: string) {
    this.#expected = fingerprint(password);
  }

  /** Undefined lets the request in. */
  async check(request: Request, address: string): Promise<Response | undefined> {
    if (this.#holds(basicOf(request)?.password ?? "")) return undefined;
    const isGuess = request.headers.has("authorization");
    return refusal(isGuess && (await this.#guesses.wrong(address)) ? 429 : 401);
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

/** The longest `Authorization` that is read, in characters. */
const LONGEST = 16_384;

/** What HTTP's basic scheme says: https://www.rfc-editor.org/rfc/rfc7617 */
export function basicOf(request: Request): Basic | undefined {
  const header = request.headers.get("authorization") ?? "";
  if (header.length > LONGEST) return undefined;
  const [, encoded] = /^basic ([a-z0-9+/=]+)$/i.exec(header) ?? [];
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
