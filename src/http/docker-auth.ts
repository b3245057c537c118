import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { checkJson, type Static, Type } from "../schema.ts";

export interface Credentials {
  username: string;
  password: string;
}

const DockerAuth = Type.Object({
  auths: Type.Optional(
    Type.Record(
      Type.String(),
      Type.Object({ auth: Type.Optional(Type.String()), identitytoken: Type.Optional(Type.String()) }),
    ),
  ),
  credsStore: Type.Optional(Type.String()),
  credHelpers: Type.Optional(Type.Record(Type.String(), Type.String())),
});
type DockerAuth = Static<typeof DockerAuth>;
const HelperAnswer = Type.Object({ Username: Type.String(), Secret: Type.String() });

const HUB = "docker.io";
const HUB_KEY = "https://index.docker.io/v1/";

/** What docker's own settings know of a registry: its helper, its store, else `auths`; undefined is anonymous. */
export async function dockerCredentials(
  host: string,
  env: Record<string, string | undefined>,
): Promise<Credentials | undefined> {
  const path = join(env["DOCKER_CONFIG"] || join(env["HOME"] || homedir(), ".docker"), "config.json");
  const config = await readConfig(path);
  if (!config) return undefined;
  const key = host === HUB ? HUB_KEY : host;
  const helper = config.credHelpers?.[host] ?? config.credsStore;
  if (helper) return await askHelper(helper, key);
  const entry =
    config.auths?.[key] ?? config.auths?.[`https://${host}`] ?? config.auths?.[`https://${host}/`];
  if (!entry?.auth) return undefined;
  const pair = Buffer.from(entry.auth, "base64").toString("utf8");
  const colon = pair.indexOf(":");
  return colon < 0
    ? undefined
    : { username: pair.slice(0, colon), password: pair.slice(colon + 1).replace(/\0+$/, "") };
}

async function readConfig(path: string): Promise<DockerAuth | undefined> {
  try {
    return checkJson(DockerAuth, await readFile(path, "utf8"), path);
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}

async function askHelper(name: string, server: string): Promise<Credentials | undefined> {
  if (!/^[\w.-]+$/.test(name))
    throw new DavitError("invalid", `Cannot use credential helper ${JSON.stringify(name)}`);
  const helper = Bun.spawn([`docker-credential-${name}`, "get"], {
    stdin: new TextEncoder().encode(server),
    stdout: "pipe",
    stderr: "ignore",
  });
  const text = await new Response(helper.stdout).text();
  if ((await helper.exited) !== 0) {
    if (/not found/i.test(text)) return undefined;
    throw new DavitError("denied", `Cannot get credentials for ${server}: docker-credential-${name} failed`);
  }
  const { Username, Secret } = checkJson(HelperAnswer, text, `the answer of docker-credential-${name}`);
  return { username: Username, password: Secret };
}
