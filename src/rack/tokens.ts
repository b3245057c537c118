import { createHmac, timingSafeEqual } from "node:crypto";
import { DavitError } from "../errors.ts";
import { checkJson, type Static, Type } from "../schema.ts";
import type { TokenRequest } from "./rack.ts";

/** `deploy` may build and release some apps; `rwa` may everything. */
export const TokenRole = Type.Union([
  Type.Literal("r"),
  Type.Literal("rw"),
  Type.Literal("rwa"),
  Type.Literal("deploy"),
]);
export type TokenRole = Static<typeof TokenRole>;

/** What a token says; JSON Web Tokens with HS256, as the original's: https://www.rfc-editor.org/rfc/rfc7519 */
export const Claims = Type.Object({
  user: Type.String(),
  role: TokenRole,
  /** Seconds since 1970. */
  expiresAt: Type.Number(),
  /** A deploy key's: the only apps it is for. */
  apps: Type.Optional(Type.Array(Type.String())),
  /** The token's id in the ledger; tokens of older davits have none. */
  jti: Type.Optional(Type.String()),
});
export type Claims = Static<typeof Claims>;

const HEADER = Buffer.from(JSON.stringify({ alg: "HS256", typ: "JWT" })).toString("base64url");
const Header = Type.Object({ alg: Type.Literal("HS256") });
/** The longest token that is looked at, in characters. */
const LONGEST_TOKEN = 8192;

export function signToken(claims: Claims, secret: string): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${HEADER}.${payload}.${signature(`${HEADER}.${payload}`, secret)}`;
}

/** Reads the claims of a token that this rack signed and that has not expired. */
export function readToken(token: string, secret: string, now: Date): Claims {
  const [header = "", payload = "", given = "", ...more] = token.slice(0, LONGEST_TOKEN).split(".", 4);
  const expected = Buffer.from(signature(`${header}.${payload}`, secret));
  const actual = Buffer.from(given);
  if (more.length > 0 || actual.length !== expected.length || !timingSafeEqual(actual, expected))
    throw new DavitError("denied", "signature is invalid");
  checkJson(Header, Buffer.from(header, "base64url").toString("utf8"), "a token", "denied");
  const claims = checkJson(Claims, Buffer.from(payload, "base64url").toString("utf8"), "a token", "denied");
  if (claims.expiresAt * 1000 < now.getTime()) throw new DavitError("denied", "token is expired");
  return claims;
}

function signature(text: string, secret: string): string {
  return createHmac("sha256", secret).update(text).digest("base64url");
}

/** The longest a token may live, in hours. */
const LONGEST = 8760;
const ROLES = { read: "r", write: "rw", admin: "rwa" } as const;
/** Names stand in the audit log and on terminals. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@+-]{0,62}$/;

/** The claims of a token that somebody asks for. */
export function claimsFor(
  { role, hours, apps, name = "system" }: TokenRequest,
  id: string,
  now: Date,
): Claims {
  if (!Number.isInteger(hours) || hours < 1 || hours > LONGEST)
    throw new DavitError("invalid", `Cannot make a token for ${hours} hours: it lives from 1 to ${LONGEST}`);
  if (!NAME.test(name))
    throw new DavitError(
      "invalid",
      `Cannot make a token for ${JSON.stringify(name.slice(0, 100))}: a name is letters, digits and . _ @ + -, 63 at most`,
    );
  if (apps?.length === 0) throw new DavitError("invalid", "Cannot make a token for no apps");
  const expiresAt = Math.floor(now.getTime() / 1000) + hours * 3600;
  const user = `${name}-${apps ? "deploy" : role}`;
  const claims = { user, role: apps ? ("deploy" as const) : ROLES[role], expiresAt, jti: id };
  return apps ? { ...claims, apps: [...new Set(apps)] } : claims;
}

/** The login that makes a token; one without a token of its own may make any. */
export interface TokenMaker {
  /** For the list of tokens. */
  name: string;
  /** The maker's own token; `until` is in milliseconds since 1970. */
  token?: { id: string; role: TokenRole; until: number } | undefined;
}

/** Refuses a token that may more than its maker's own, or outlives it. */
export function requireWithin({ role, expiresAt }: Claims, { token }: TokenMaker, now: Date): void {
  if (!token) return;
  const needed = role === "deploy" ? "rw" : role;
  if (token.role === "deploy" || !token.role.startsWith(needed))
    throw new DavitError("denied", "Cannot make this token: it may more than the login that asks for it");
  if (expiresAt * 1000 <= token.until) return;
  const hours = Math.floor((token.until - now.getTime()) / 3_600_000);
  throw new DavitError(
    "denied",
    `Cannot make this token: the login that asks for it is good for ${hours} more hours`,
    { hint: hours > 0 ? `give --hours ${hours}, or use another login` : "use another login" },
  );
}
