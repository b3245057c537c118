import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { checkJson, Type } from "../schema.ts";
import { replaceFile } from "../write-file.ts";
import { type Credentials, configKey, configPath, DockerConfig, type Env, runHelper } from "./docker-auth.ts";

const Loose = Type.Record(Type.String(), Type.Unknown());

/** Keeps a login where docker keeps it: in its credential store, else in config.json. */
export async function storeLogin(
  host: string,
  { username, password }: Credentials,
  env: Env,
): Promise<string> {
  const path = configPath(env);
  const config = await readLoose(path);
  const known = checkJson(DockerConfig, JSON.stringify(config), path);
  const key = configKey(host);
  const helper = known.credHelpers?.[host] ?? known.credsStore;
  if (helper) {
    const login = JSON.stringify({ ServerURL: key, Username: username, Secret: password });
    const { code, text } = await runHelper(helper, "store", login, env);
    if (code !== 0)
      throw new DavitError(
        "denied",
        `Cannot keep the login: docker-credential-${helper} failed: ${text.trim()}`,
      );
    return `docker-credential-${helper}`;
  }
  const auth = Buffer.from(`${username}:${password}`).toString("base64");
  await write(path, { ...config, auths: { ...known.auths, [key]: { auth } } });
  return path;
}

/** False when there was no login. */
export async function forgetLogin(host: string, env: Env): Promise<boolean> {
  const path = configPath(env);
  const config = await readLoose(path);
  const known = checkJson(DockerConfig, JSON.stringify(config), path);
  const key = configKey(host);
  const helper = known.credHelpers?.[host] ?? known.credsStore;
  if (helper) return (await runHelper(helper, "erase", key, env)).code === 0;
  const { [key]: gone, ...auths } = known.auths ?? {};
  if (!gone) return false;
  await write(path, { ...config, auths });
  return true;
}

async function readLoose(path: string): Promise<Record<string, unknown>> {
  try {
    return checkJson(Loose, await readFile(path, "utf8"), path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return {};
    throw systemError(`Cannot read ${path}`, error);
  }
}

async function write(path: string, config: Record<string, unknown>): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await replaceFile(path, `${JSON.stringify(config, undefined, "\t")}\n`);
}
