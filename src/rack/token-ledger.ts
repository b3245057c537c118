import { DavitError } from "../errors.ts";
import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import { all, first, run, type Steps } from "./steps.ts";
import { TokenRole } from "./tokens.ts";

const TokenRow = Type.Object({
  id: Type.String(),
  name: Type.String(),
  role: TokenRole,
  maker: Type.String(),
  /** The token that it was made with; "" for none. */
  parent: Type.String(),
  created: Type.String(),
  /** Milliseconds since 1970; `used` is 0 for never. */
  expires: Type.Integer(),
  used: Type.Integer(),
});
const AppRow = Type.Object({ token: Type.String(), app: Type.String() });
/** A token on record. Deleted apps are no longer among a deploy key's `apps`. */
export type StoredToken = Static<typeof TokenRow> & { apps: string[] };

/** The most tokens that may be good at once. */
const MOST = 10_000;

/** The tokens that are good: one that has no row here is refused. */
export class TokenLedger {
  readonly #db: LedgerDatabase;
  readonly #now: () => number;

  constructor(db: LedgerDatabase, now: () => number) {
    this.#db = db;
    this.#now = now;
  }

  /** Records a token, and removes expired ones. Throws `conflict` where there are too many. */
  async add({ apps, ...token }: Omit<StoredToken, "created" | "used">): Promise<void> {
    const now = this.#now();
    await this.#db.write(function* () {
      yield* run("DELETE FROM tokens WHERE expires < ?", now);
      if ((yield* first("SELECT id FROM tokens LIMIT 1 OFFSET ?", MOST - 1)) !== undefined)
        throw new DavitError("conflict", `Cannot make a token: there are ${MOST}`, {
          hint: "see `davit rack tokens`, and `davit rack tokens revoke ID`",
        });
      yield* run(
        "INSERT INTO tokens (id, name, role, maker, parent, created, expires) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ...[token.id, token.name, token.role, token.maker, token.parent],
        ...[new Date(now).toISOString(), token.expires],
      );
      for (const app of apps) yield* run("INSERT INTO token_apps (token, app) VALUES (?, ?)", token.id, app);
    });
  }

  /** Undefined where the token is not good any more. */
  async find(id: string): Promise<StoredToken | undefined> {
    return await this.#db.read(function* () {
      const row = yield* first("SELECT * FROM tokens WHERE id = ?", id);
      if (row === undefined) return undefined;
      const rows = yield* all("SELECT token, app FROM token_apps WHERE token = ? ORDER BY app", id);
      const apps = rows.map((one) => appRow(one).app);
      const found = { ...check(TokenRow, row, "the ledger's tokens"), apps };
      return isGood(found) ? found : undefined;
    });
  }

  /** Newest first, without those that have expired. */
  async list(): Promise<StoredToken[]> {
    const now = this.#now();
    return await this.#db.read(function* (): Steps<StoredToken[]> {
      const rows = yield* all("SELECT * FROM tokens WHERE expires >= ? ORDER BY created DESC, id", now);
      const apps = Map.groupBy(
        (yield* all("SELECT token, app FROM token_apps ORDER BY app")).map(appRow),
        ({ token }) => token,
      );
      return rows
        .map((row) => check(TokenRow, row, "the ledger's tokens"))
        .map((row) => ({ ...row, apps: (apps.get(row.id) ?? []).map(({ app }) => app) }))
        .filter(isGood);
    });
  }

  /** Removes a token, and all tokens that were made with it. Throws `not-found`. */
  async revoke(id: string): Promise<void> {
    const revoked = await this.#db.write(() =>
      run(
        `WITH RECURSIVE family (id) AS (
           SELECT id FROM tokens WHERE id = ?
           UNION SELECT tokens.id FROM tokens JOIN family ON tokens.parent = family.id
         ) DELETE FROM tokens WHERE id IN (SELECT id FROM family)`,
        id,
      ),
    );
    if (revoked === 0)
      throw new DavitError("not-found", `no such token: ${id}`, { hint: "see `davit rack tokens`" });
  }

  async noteUse(id: string): Promise<void> {
    await this.#db.write(() => run("UPDATE tokens SET used = ? WHERE id = ?", this.#now(), id));
  }
}

/** A deploy key whose apps were all deleted is good for nothing. */
function isGood({ role, apps }: StoredToken): boolean {
  return role !== "deploy" || apps.length > 0;
}

function appRow(row: unknown): Static<typeof AppRow> {
  return check(AppRow, row, "the ledger's tokens");
}
