import { DavitError } from "../errors.ts";
import { check, type Static, Type } from "../schema.ts";
import type { LedgerDatabase } from "./database.ts";
import type { Seal } from "./seal.ts";
import { all, first, run } from "./steps.ts";

export const RegistryLogin = Type.Object({
  server: Type.String(),
  username: Type.String(),
  password: Type.String(),
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

  /** By server. */
  async registries(): Promise<RegistryLogin[]> {
    const rows = await this.#db.read(() =>
      all("SELECT server, username, password FROM registries ORDER BY server"),
    );
    return await Promise.all(
      rows.map(async (row) => {
        const login = check(RegistryLogin, row, "the ledger's registries");
        return { ...login, password: await this.#seal.open(login.password, registryPlace(login.server)) };
      }),
    );
  }

  async addRegistry({ server, username, password }: RegistryLogin): Promise<void> {
    for (const [name, value] of Object.entries({ server, username, password }))
      if (value.trim() === "")
        throw new DavitError("invalid", `Cannot add the registry: its ${name} is blank`);
    const sealed = await this.#seal.seal(password, registryPlace(server));
    await this.#db.write(() =>
      run(
        `INSERT INTO registries (server, username, password) VALUES (?, ?, ?) ON CONFLICT (server)
         DO UPDATE SET username = excluded.username, password = excluded.password`,
        ...[server, username, sealed],
      ),
    );
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
      await this.#db.write(() =>
        run("INSERT INTO params (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", key, sealed),
      );
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

  /** An empty value takes the parameter away. */
  async setParams(changes: Record<string, string>): Promise<void> {
    const sealed = await Promise.all(
      Object.entries(changes).map(
        async ([name, value]) =>
          [name, value === "" ? undefined : await this.#seal.seal(value, `params/${name}/value`)] as const,
      ),
    );
    await this.#db.write(function* () {
      for (const [name, value] of sealed)
        if (value === undefined) yield* run("DELETE FROM params WHERE name = ?", name);
        else
          yield* run(
            "INSERT INTO params (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            name,
            value,
          );
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
    await this.#db.write(() =>
      run(
        `INSERT INTO configs (app, name, value) VALUES (?, ?, ?)
         ON CONFLICT (app, name) DO UPDATE SET value = excluded.value`,
        ...[app, name, sealed],
      ),
    );
  }
}

const NamedRow = Type.Object({ name: Type.String(), value: Type.String() });

function registryPlace(server: string): string {
  return `registries/${server}/password`;
}

function configPlace(app: string, name: string): string {
  return `configs/${app}.${name}/value`;
}
