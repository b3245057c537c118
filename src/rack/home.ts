import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { Root } from "../root.ts";
import { checkName, isName, type Name } from "./ids.ts";

export type Env = Record<string, string | undefined>;

/** The rack that is there without being made. */
export const LOCAL: Name = checkName("rack", "local");

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

  rackDir(name: Name): string {
    return join(this.data, "racks", name);
  }

  hasRack(name: string): name is Name {
    return isName(name) && existsSync(join(this.rackDir(name), "ledger.db"));
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
    if (!isName(name)) return undefined;
    try {
      return (await readFile(join(this.#config, "remotes", name), "utf8")).trim() || undefined;
    } catch (error) {
      if (["ENOENT", "ENOTDIR", "EISDIR"].includes(systemCode(error) ?? "")) return undefined;
      throw systemError(`Cannot read the address of rack ${name}`, error);
    }
  }

  /** Remembers where a rack is; the address holds its password, so the file is its owner's alone. */
  async addRemote(name: Name, url: string): Promise<void> {
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
    return names.filter(isName).sort();
  }

  /** Forgets an address; the rack itself stays where it is. */
  async removeRemote(name: string): Promise<void> {
    await rm(join(this.#config, "remotes", checkName("rack", name)));
    if ((await this.currentRack()) === name) await rm(join(this.#config, "current"), { force: true });
  }

  /** Deletes a rack and all it holds: first out of sight, then for good. */
  async removeRack(name: string): Promise<void> {
    if (!this.hasRack(name)) throw noRack(name);
    const gone = join(this.data, "racks", `.${name}.${crypto.randomUUID()}`);
    await rename(this.rackDir(name), gone);
    if ((await this.currentRack()) === name) await rm(join(this.#config, "current"), { force: true });
    await rm(gone, { recursive: true, force: true });
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

/** The longest setting of a project, in bytes. */
const LONGEST = 1024;
/** A rack's name, or one of a console's: ORGANIZATION/NAME. */
const RACK = /^\w[\w.-]{0,99}(\/\w[\w.-]{0,99})?$/;

/** The rack of the project the user stands in: a name, never a path or an address. */
export async function projectRack(dir: string): Promise<string | undefined> {
  const found = await setting(dir, "rack");
  if (found === undefined || RACK.test(found.value)) return found?.value;
  throw new DavitError(
    "invalid",
    `Cannot use the rack of ${found.file}: ${JSON.stringify(found.value.slice(0, 100))} is no name of a rack`,
    { hint: "name a rack of `davit racks` there, or use -r NAME" },
  );
}

/** The app of the project the user stands in. */
export async function projectApp(dir: string): Promise<string | undefined> {
  const found = await setting(dir, "app");
  return found && checkName("app", found.value);
}

/** What is in `./.davit/KEY`, else in `./.convox/KEY`: others may have written it. */
async function setting(dir: string, key: string): Promise<{ file: string; value: string } | undefined> {
  const root = await Root.open(dir);
  for (const file of [`.davit/${key}`, `.convox/${key}`]) {
    const value = (await root.readTextIfThere(file, LONGEST))?.trim();
    if (value) return { file, value };
  }
  return undefined;
}
