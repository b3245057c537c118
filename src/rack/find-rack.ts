import { readdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { systemCode, systemError } from "../errors.ts";
import { trustOnFirstUse } from "../http/first-use.ts";
import { Type } from "../schema.ts";
import { EmbeddedRack } from "./embedded.ts";
import type { EmbeddedOptions } from "./embedded-parts.ts";
import { DIRECT, type Env, Home, LOCAL, noRack } from "./home.ts";
import type { Rack } from "./rack.ts";
import { parseRackUrl, type RackAddress, RackClient } from "./rack-client.ts";
import { RemoteRack } from "./remote.ts";
import { list } from "./remote-wire.ts";

/** A rack somewhere, and how it was found. */
export interface FoundRack {
  name: string;
  /** Undefined is embedded. */
  address?: RackAddress;
}

/**
 * Opens a rack that is elsewhere. In this order: what `RACK_URL` says, one added by
 * its address, one that `convox` keeps, one of the console's.
 */
export async function openRemote(
  name: string,
  options: EmbeddedOptions,
  onNote?: (text: string) => void,
): Promise<Rack> {
  const { env } = options;
  const home = new Home(env);
  const address = await addressOf(name, env, home);
  const trust = address.trust ?? (await trustOnFirstUse(address.url, join(home.data, "hosts"), env, onNote));
  const local = () => EmbeddedRack.open(LOCAL, options);
  return new RemoteRack({ ...address, trust }, { env, state: home.data, local, engine: options.engine });
}

async function addressOf(name: string, env: Env, home: Home): Promise<RackAddress> {
  const direct = env["RACK_URL"]?.trim();
  if (direct) return parseRackUrl(DIRECT, direct);
  const url = (await home.rackUrl(name)) ?? (await convoxUrl(name, env));
  if (url !== undefined) return parseRackUrl(name, url);
  const found = (await consoleRacks(env)).find(
    (rack) => rack.name === name || rack.name.endsWith(`/${name}`),
  );
  if (found?.address) return found.address;
  throw noRack(name);
}

/** Every rack that is known here, embedded ones first. A console that does not answer hides no other. */
export async function knownRacks(env: Env): Promise<FoundRack[]> {
  const home = new Home(env);
  const embedded = (await home.racks()).map((name): FoundRack => ({ name }));
  const added = await Promise.all(
    (await home.remoteRacks()).map(
      async (name): Promise<FoundRack> => ({
        name,
        address: parseRackUrl(name, (await home.rackUrl(name)) ?? ""),
      }),
    ),
  );
  return [...embedded, ...added, ...(await convoxRacks(env)), ...(await consoleRacks(env).catch(() => []))];
}

function convoxDir(env: Env): string {
  return (
    env["CONVOX_CONFIG"] ||
    join(env["XDG_CONFIG_HOME"] || join(env["HOME"] || homedir(), ".config"), "convox")
  );
}

/** A rack that `convox` knows by its address: a plain file of that name. */
async function convoxUrl(name: string, env: Env): Promise<string | undefined> {
  if (!/^[\w-][\w.-]*$/.test(name)) return undefined;
  return await readText(join(convoxDir(env), "racks", name));
}

async function convoxRacks(env: Env): Promise<FoundRack[]> {
  const names = await readdir(join(convoxDir(env), "racks")).catch(() => []);
  const found = await Promise.all(
    names.sort().map(async (name): Promise<FoundRack[]> => {
      const url = await convoxUrl(name, env);
      return url === undefined || !URL.canParse(url) ? [] : [{ name, address: parseRackUrl(name, url) }];
    }),
  );
  return found.flat();
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim() || undefined;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EISDIR"].includes(systemCode(error) ?? "")) return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}

const ConsoleRack = Type.Object({
  name: Type.String(),
  organization: Type.Optional(Type.Object({ name: Type.String() })),
});

/** The racks of the console that `CONVOX_HOST` and `CONVOX_PASSWORD` name; a deploy key is such a password. */
async function consoleRacks(env: Env): Promise<FoundRack[]> {
  const [host, password] = [env["CONVOX_HOST"]?.trim(), env["CONVOX_PASSWORD"]?.trim()];
  if (!host || !password) return [];
  const console = parseRackUrl(host, `https://convox:${encodeURIComponent(password)}@${host}`);
  const racks = await new RackClient(console).json(list(ConsoleRack), "GET", "/racks");
  return (racks ?? []).map(({ name, organization }) => {
    const full = organization ? `${organization.name}/${name}` : name;
    return { name: full, address: { ...console, name: full, rack: full } };
  });
}
