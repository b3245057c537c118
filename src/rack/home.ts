import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { checkName } from "./ids.ts";

export type Env = Record<string, string | undefined>;

/** The rack that is there without being made. */
export const LOCAL = "local";

/** What a rack that `RACK_URL` names is called. */
export const DIRECT = "direct";

/**
 * Where davit keeps things: `$DAVIT_HOME`, else the XDG directories. Racks are
 * `racks/NAME/`; the choice of a current rack is a one-line file.
 */
export class Home {
  readonly data: string;
  readonly #config: string;

  constructor(env: Env) {
    const home = env["HOME"] || homedir();
    this.data = env["DAVIT_HOME"] || join(env["XDG_DATA_HOME"] || join(home, ".local", "share"), "davit");
    this.#config = env["DAVIT_HOME"] || join(env["XDG_CONFIG_HOME"] || join(home, ".config"), "davit");
  }

  rackDir(name: string): string {
    return join(this.data, "racks", name);
  }

  hasRack(name: string): boolean {
    return existsSync(join(this.rackDir(name), "ledger.db"));
  }

  /** Names of the embedded racks; `local` is always one. */
  async racks(): Promise<string[]> {
    const names = await readdir(join(this.data, "racks")).catch((error: unknown) => {
      if (systemCode(error) === "ENOENT") return [];
      throw systemError(`Cannot read ${this.data}`, error);
    });
    return [...new Set([LOCAL, ...names.filter((name) => this.hasRack(name))])].sort();
  }

  /** The address of a rack that was added by it. */
  async rackUrl(name: string): Promise<string | undefined> {
    try {
      return (await readFile(join(this.#config, "remotes", name), "utf8")).trim() || undefined;
    } catch (error) {
      if (["ENOENT", "ENOTDIR", "EISDIR"].includes(systemCode(error) ?? "")) return undefined;
      throw systemError(`Cannot read the address of rack ${name}`, error);
    }
  }

  /** Remembers where a rack is; the address holds its password, so the file is its owner's alone. */
  async addRemote(name: string, url: string): Promise<void> {
    const dir = join(this.#config, "remotes");
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await writeFile(join(dir, name), `${url}\n`, { mode: 0o600, flag: "wx" }).catch((error: unknown) => {
      if (systemCode(error) !== "EEXIST") throw systemError(`Cannot add rack ${name}`, error);
      throw new DavitError("exists", `rack already exists: ${name}`);
    });
  }

  async remoteRacks(): Promise<string[]> {
    const names = await readdir(join(this.#config, "remotes")).catch((error: unknown) => {
      if (systemCode(error) === "ENOENT") return [];
      throw systemError(`Cannot read ${this.#config}`, error);
    });
    return names.sort();
  }

  /** Forgets an address; the rack itself stays where it is. */
  async removeRemote(name: string): Promise<void> {
    await rm(join(this.#config, "remotes", name));
    if ((await this.currentRack()) === name) await rm(join(this.#config, "current"), { force: true });
  }

  /** Deletes a rack and all it holds: first out of sight, then for good. */
  async removeRack(name: string): Promise<void> {
    checkName("rack", name);
    if (!this.hasRack(name)) throw noRack(name);
    const gone = join(this.data, "racks", `.${name}.${crypto.randomUUID()}`);
    await rename(this.rackDir(name), gone);
    await rm(gone, { recursive: true, force: true });
    if ((await this.currentRack()) === name) await rm(join(this.#config, "current"), { force: true });
  }

  /** The rack that `davit switch` chose. */
  async currentRack(): Promise<string | undefined> {
    try {
      return (await readFile(join(this.#config, "current"), "utf8")).trim() || undefined;
    } catch (error) {
      if (systemCode(error) === "ENOENT") return undefined;
      throw systemError("Cannot read the current rack", error);
    }
  }

  async setCurrentRack(name: string): Promise<void> {
    await mkdir(this.#config, { recursive: true, mode: 0o700 });
    await writeFile(join(this.#config, "current"), `${name}\n`, { mode: 0o600 });
  }
}

export function noRack(name: string): DavitError {
  return new DavitError("not-found", `could not find rack: ${name}`, {
    hint: `see \`davit racks\`, or make it with \`davit racks add ${name}\``,
  });
}

/** A setting of the project the user stands in: `./.davit/KEY`, else `./.convox/KEY`. */
export async function projectSetting(dir: string, key: string): Promise<string | undefined> {
  for (const folder of [".davit", ".convox"]) {
    try {
      const text = (await readFile(join(dir, folder, key), "utf8")).trim();
      if (text !== "") return text;
    } catch (error) {
      if (!["ENOENT", "ENOTDIR", "EISDIR"].includes(systemCode(error) ?? ""))
        throw systemError(`Cannot read ${join(dir, folder, key)}`, error);
    }
  }
  return undefined;
}
