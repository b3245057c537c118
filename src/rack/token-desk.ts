import { DavitError } from "../errors.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import { newId } from "./ids.ts";
import type { TokenInfo, TokenRequest } from "./rack.ts";
import type { StoredToken } from "./token-ledger.ts";
import {
  type Claims,
  claimsFor,
  readToken,
  requireWithin,
  signToken,
  type TokenMaker,
  type TokenRole,
} from "./tokens.ts";

/** The name of the key that signs. */
const KEY = "jwt";
/** How often the use of a token is noted at most, in milliseconds. */
const USE = 60_000;
/** The maker of tokens that are made on the rack's own machine. */
const HERE: TokenMaker = { name: "this machine" };

/** The holder of a good token. */
export interface Bearer {
  /** For the audit log. */
  name: string;
  role: TokenRole;
  /** Only these; undefined is all. */
  apps?: readonly string[];
  /** Undefined for a token of an older davit. */
  id?: string | undefined;
  /** When it ends, in milliseconds since 1970. */
  until: number;
}

/** Makes the rack's tokens, reads them and revokes them. */
export class TokenDesk {
  readonly #parts: Pick<EmbeddedParts, "ledger" | "settings" | "now" | "random">;
  readonly #noted = new Map<string, number>();
  #key: string | undefined;

  constructor(parts: Pick<EmbeddedParts, "ledger" | "settings" | "now" | "random">) {
    this.#parts = parts;
  }

  async issue(wanted: TokenRequest, maker: TokenMaker = HERE): Promise<string> {
    const { ledger, now, random } = this.#parts;
    const id = newId("T", random);
    const claims = claimsFor(wanted, id, now());
    requireWithin(claims, maker, now());
    for (const app of claims.apps ?? []) await ledger.apps.find(app);
    await ledger.tokens.add({
      ...{ id, name: wanted.name ?? "", role: claims.role, apps: claims.apps ?? [], maker: maker.name },
      ...{ parent: maker.token?.id ?? "", expires: claims.expiresAt * 1000 },
    });
    return signToken(claims, await this.#secret());
  }

  /** Refuses what this rack did not sign, and what has expired or was revoked. */
  async read(text: string): Promise<Bearer> {
    const claims = readToken(text, await this.#secret(), this.#parts.now());
    if (claims.jti === undefined) return await this.#readOlder(claims);
    const known = await this.#parts.ledger.tokens.find(claims.jti);
    if (!known) throw new DavitError("denied", "token is revoked");
    this.#noteUse(known.id);
    const { role, apps, id, expires } = known;
    return {
      name: `${claims.user} (${id})`,
      role,
      id,
      until: expires,
      ...(role === "deploy" ? { apps } : {}),
    };
  }

  /** Reads a token of a davit that gave tokens no ids. It names its apps, and is good for those that were there then: their ids are their names. */
  async #readOlder({ user, role, apps, expiresAt }: Claims): Promise<Bearer> {
    const { ledger } = this.#parts;
    if ((await ledger.known("older-tokens")) !== undefined)
      throw new DavitError("denied", "token is revoked");
    const bearer = { name: user, role, until: expiresAt * 1000 };
    return apps === undefined ? bearer : { ...bearer, apps: await ledger.apps.oldAmong(apps) };
  }

  /** Notes a use in the background: nobody waits for it, and it may be lost. */
  #noteUse(id: string): void {
    const now = performance.now();
    if (now - (this.#noted.get(id) ?? -USE) < USE) return;
    if (this.#noted.size > 10_000) this.#noted.clear();
    this.#noted.set(id, now);
    void this.#parts.ledger.tokens.noteUse(id).catch(() => undefined);
  }

  async list(): Promise<TokenInfo[]> {
    return (await this.#parts.ledger.tokens.list()).map(infoOf);
  }

  async revoke(id: string): Promise<void> {
    await this.#parts.ledger.tokens.revoke(id);
  }

  /** Refuses all tokens without an id from now on. */
  async revokeOlder(): Promise<void> {
    await this.#parts.ledger.setFact("older-tokens", "revoked");
  }

  async #secret(): Promise<string> {
    this.#key ??= await this.#parts.settings.secret(KEY);
    return this.#key;
  }
}

const ROLES = { r: "read", rw: "write", rwa: "admin", deploy: "deploy" } as const;

function infoOf({ id, name, role, apps, maker, created, expires, used }: StoredToken): TokenInfo {
  return {
    ...{ id, name, role: ROLES[role], apps, maker, created },
    expires: new Date(expires).toISOString(),
    used: used === 0 ? "" : new Date(used).toISOString(),
  };
}
