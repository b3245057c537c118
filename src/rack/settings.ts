import { DavitError } from "../errors.ts";
import { check, type Static, Type } from "../schema.ts";
import { findApp } from "./app-ledger.ts";
import type { LedgerDatabase } from "./database.ts";
import { type Duty, owe } from "./duty-ledger.ts";
import { type RackFact, setRackFacts } from "./rack-facts.ts";
import { requireKeyOf } from "./rack-key-fence.ts";
import type { Seal } from "./seal.ts";
import { all, first, run, type Steps } from "./steps.ts";

export const RegistryLogin = Type.Object({
  server: Type.String(),
  username: Type.String(),
  password: Type.String(),
  /** Only for these apps; left out where it is for all. Not part of the Convox API. */
  apps: Type.Optional(Type.Array(Type.String())),
});
export type RegistryLogin = Static<typeof RegistryLogin>;

/** What operators set: logins of registries, the rack's parameters, apps' configs. Sealed at rest, all of it. */
export class Settings {
  readonly #db: LedgerDatabase;
  readonly #seal: Seal;

  constructor(db: LedgerDatabase, seal: Seal) {
    this.#db = db;
    this.#seal = seal;
  }

  /** By server. A login whose apps were all deleted is for no app. */
  async registries(): Promise<RegistryLogin[]> {
    const [rows, limits] = await this.#db.read(function* (): Steps<[unknown[], unknown[]]> {
      return [
        yield* all("SELECT server, username, password, limited FROM registries ORDER BY server"),
        yield* all("SELECT server, app FROM registry_apps ORDER BY app"),
      ];
    });
    const apps = Map.groupBy(
      limits.map((row) => check(LimitRow, row, "the ledger's registries")),
      ({ server }) => server,
    );
    return await Promise.all(
      rows.map(async (row) => {
        const { limited, ...login } = check(RegistryRow, row, "the ledger's registries");
        const password = await this.#seal.open(login.password, registryPlace(login.server));
        const own = (apps.get(login.server) ?? []).map(({ app }) => app);
        return { ...login, password, ...(limited === 1 ? { apps: own } : {}) };
      }),
    );
  }

  /** Adds a login, or takes the place of the one that is there. */
  async addRegistry({ server, username, password, apps }: RegistryLogin): Promise<void> {
    for (const [name, value] of Object.entries({ server, username, password }))
      if (value.trim() === "")
        throw new DavitError("invalid", `Cannot add the registry: its ${name} is blank`);
    const sealed = await this.#seal.seal(password, registryPlace(server));
    await this.#db.write(function* () {
      yield* requireKeyOf(sealed);
      for (const app of apps ?? []) yield* findApp(app);
      yield* run(
        `INSERT INTO registries (server, username, password, limited) VALUES (?, ?, ?, ?) ON CONFLICT (server)
         DO UPDATE SET username = excluded.username, password = excluded.password, limited = excluded.limited`,
        ...[server, username, sealed, apps ? 1 : 0],
      );
      yield* run("DELETE FROM registry_apps WHERE server = ?", server);
      for (const app of new Set(apps))
        yield* run("INSERT INTO registry_apps (server, app) VALUES (?, ?)", server, app);
    });
  }

  async removeRegistry(server: string): Promise<void> {
    const removed = await this.#db.write(() => run("DELETE FROM registries WHERE server = ?", server));
    if (removed === 0)
      throw new DavitError("not-found", `no such registry: ${server}`, { hint: "see `davit registries`" });
  }

  /** A secret of the rack's own, made the first time it is asked for. */
  async secret(name: string): Promise<string> {
    const key = `.${name}`;
    const find = () => this.#db.read(() => first("SELECT name, value FROM params WHERE name = ?", key));
    if ((await find()) === undefined) {
      const fresh = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
      const sealed = await this.#seal.seal(fresh, `params/${key}/value`);
      await this.#db.write(function* () {
        yield* requireKeyOf(sealed);
        yield* run("INSERT INTO params (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", key, sealed);
      });
    }
    const { value } = check(NamedRow, await find(), "the ledger's params");
    return await this.#seal.open(value, `params/${key}/value`);
  }

  async params(): Promise<Record<string, string>> {
    const rows = await this.#db.read(() =>
      all("SELECT name, value FROM params WHERE name NOT LIKE '.%' ORDER BY name"),
    );
    const opened = rows.map(async (row): Promise<[string, string]> => {
      const { name, value } = check(NamedRow, row, "the ledger's params");
      return [name, await this.#seal.open(value, `params/${name}/value`)];
    });
    return Object.fromEntries(await Promise.all(opened));
  }

  /** One parameter; "" where it is not set. */
  async param(name: string): Promise<string> {
    const row = await this.#db.read(() => first("SELECT name, value FROM params WHERE name = ?", name));
    if (row === undefined) return "";
    const { value } = check(NamedRow, row, "the ledger's params");
    return await this.#seal.open(value, `params/${name}/value`);
  }

  /** An empty value takes the parameter away. What follows from the change is on record with it. */
  async setParams(
    changes: Record<string, string>,
    { duties = [], facts = {} }: { duties?: Duty[]; facts?: Partial<Record<RackFact, string>> } = {},
  ): Promise<void> {
    const sealed = await Promise.all(
      Object.entries(changes).map(
        async ([name, value]) =>
          [name, value === "" ? undefined : await this.#seal.seal(value, `params/${name}/value`)] as const,
      ),
    );
    await this.#db.write(function* () {
      for (const [name, value] of sealed)
        if (value === undefined) yield* run("DELETE FROM params WHERE name = ?", name);
        else {
          yield* requireKeyOf(value);
          yield* run(
            "INSERT INTO params (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            value,
          );
        }
      yield* setRackFacts(facts);
      yield* owe(...duties);
    });
  }

  async config(app: string, name: string): Promise<string> {
    const row = await this.#db.read(() =>
      first("SELECT name, value FROM configs WHERE app = ? AND name = ?", app, name),
    );
    if (row === undefined) throw new DavitError("not-found", `app config not found: ${name}`);
    const { value } = check(NamedRow, row, "the ledger's configs");
    return await this.#seal.open(value, configPlace(app, name));
  }

  async setConfig(app: string, name: string, value: string): Promise<void> {
    const sealed = await this.#seal.seal(value, configPlace(app, name));
    await this.#db.write(function* () {
      yield* requireKeyOf(sealed);
      yield* run(
        `INSERT INTO configs (app, name, value) VALUES (?, ?, ?)
         ON CONFLICT (app, name) DO UPDATE SET value = excluded.value`,
        ...[app, name, sealed],
      );
    });
  }
}

const RegistryRow = Type.Object({
  server: Type.String(),
  username: Type.String(),
  password: Type.String(),
  limited: Type.Integer(),
});
const LimitRow = Type.Object({ server: Type.String(), app: Type.String() });
const NamedRow = Type.Object({ name: Type.String(), value: Type.String() });

function registryPlace(server: string): string {
  return `registries/${server}/password`;
}

function configPlace(app: string, name: string): string {
  return `configs/${app}.${name}/value`;
}
