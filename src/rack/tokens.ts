import { createHmac, timingSafeEqual } from "node:crypto";
import { DavitError } from "../errors.ts";
import { checkJson, type Static, Type } from "../schema.ts";
import type { TokenRequest } from "./rack.ts";

/** What a token says; JSON Web Tokens with HS256, as the original's: https://www.rfc-editor.org/rfc/rfc7519 */
export const Claims = Type.Object({
  user: Type.String(),
  role: Type.Union([Type.Literal("r"), Type.Literal("rw"), Type.Literal("rwa"), Type.Literal("deploy")]),
  /** Seconds since 1970. */
  expiresAt: Type.Number(),
  /** A deploy key's: the only apps it is for. */
  apps: Type.Optional(Type.Array(Type.String())),
});
export type Claims = Static<typeof Claims>;

const HEADER = Buffer.from(JSON.stringify({ alg: "HS256", typ: "JWT" })).toString("base64url");
const Header = Type.Object({ alg: Type.Literal("HS256") });

export function signToken(claims: Claims, secret: string): string {
  const payload = Buffer.from(JSON.stringify(claims)).toString("base64url");
  return `${HEADER}.${payload}.${signature(`${HEADER}.${payload}`, secret)}`;
}

/** The claims of a token of ours that is still good. */
export function readToken(token: string, secret: string, now: Date): Claims {
  const [header = "", payload = "", given = "", ...more] = token.split(".");
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

/** What a token that somebody asks for says. */
export function claimsFor({ role, hours, apps, name = "system" }: TokenRequest, now: Date): Claims {
  if (!Number.isInteger(hours) || hours < 1 || hours > LONGEST)
    throw new DavitError("invalid", `Cannot make a token for ${hours} hours: it lives from 1 to ${LONGEST}`);
  const expiresAt = Math.floor(now.getTime() / 1000) + hours * 3600;
  const user = `${name}-${apps ? "deploy" : role}`;
  return { user, role: apps ? "deploy" : ROLES[role], expiresAt, ...(apps ? { apps: [...apps] } : {}) };
}
