import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { outputOf } from "../child-output.ts";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { anyOf, trimEnd } from "../scanner.ts";
import { checkJson, type Static, Type } from "../schema.ts";

export type Env = Record<string, string | undefined>;

export interface Credentials {
  username: string;
  password: string;
  /** In place of a password: good only for getting tokens. */
  identityToken?: string;
}

const Auth = Type.Object({
  auth: Type.Optional(Type.String()),
  username: Type.Optional(Type.String()),
  password: Type.Optional(Type.String()),
  identitytoken: Type.Optional(Type.String()),
});
/** docker's config.json, as far as it is about registries; whatever else is in it is kept. */
export const DockerConfig = Type.Object({
  auths: Type.Optional(Type.Record(Type.String(), Auth)),
  credsStore: Type.Optional(Type.String()),
  credHelpers: Type.Optional(Type.Record(Type.String(), Type.String())),
});
export type DockerConfig = Static<typeof DockerConfig>;
const HelperAnswer = Type.Object({ Username: Type.String(), Secret: Type.String() });

/** How long a helper may take, in milliseconds: it may ask its user for a passphrase. */
const PATIENCE = 60_000;

const HUB = "docker.io";
const HUB_KEY = "https://index.docker.io/v1/";
/** How a helper says that its secret is an identity token. */
const TOKEN_USER = "<token>";

/** The key docker files a registry under. */
export function configKey(host: string): string {
  return host === HUB ? HUB_KEY : host;
}

export function configPath(env: Env): string {
  return join(env["DOCKER_CONFIG"] || join(env["HOME"] || homedir(), ".docker"), "config.json");
}

/** What docker's own settings know of a registry: its helper, its store, else `auths`; undefined is anonymous. */
export async function dockerCredentials(host: string, env: Env): Promise<Credentials | undefined> {
  const config = await readConfig(configPath(env));
  if (!config) return undefined;
  const key = configKey(host);
  const helper = config.credHelpers?.[host] ?? config.credsStore;
  if (helper) return await askHelper(helper, key, env);
  const names = [
    key,
    `https://${host}`,
    `https://${host}/`,
    `http://${host}`,
    `https://${host}/v1/`,
    `https://${host}/v2/`,
  ];
  const entry = names.map((name) => config.auths?.[name]).find((found) => found !== undefined);
  return entry && fromEntry(entry);
}

function fromEntry(entry: Static<typeof Auth>): Credentials | undefined {
  const pair = Buffer.from(entry.auth ?? "", "base64").toString("utf8");
  const colon = pair.indexOf(":");
  const username = entry.username ?? (colon < 0 ? "" : pair.slice(0, colon));
  const password = entry.password ?? (colon < 0 ? "" : trimEnd(pair.slice(colon + 1), anyOf("\0")));
  if (entry.identitytoken) return { username, password: "", identityToken: entry.identitytoken };
  return username === "" && password === "" ? undefined : { username, password };
}

export async function readConfig(path: string): Promise<DockerConfig | undefined> {
  try {
    return checkJson(DockerConfig, await readFile(path, "utf8"), path);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}

async function askHelper(name: string, server: string, env: Env): Promise<Credentials | undefined> {
  const { code, text } = await runHelper(name, "get", server, env);
  if (code !== 0) {
    if (/not found/i.test(text)) return undefined;
    throw new DavitError("denied", `Cannot get credentials for ${server}: docker-credential-${name} failed`);
  }
  const { Username, Secret } = checkJson(HelperAnswer, text, `the answer of docker-credential-${name}`);
  if (Username === TOKEN_USER) return { username: Username, password: "", identityToken: Secret };
  return { username: Username, password: Secret };
}

/** https://github.com/docker/docker-credential-helpers#development */
export async function runHelper(
  name: string,
  action: "get" | "store" | "erase",
  input: string,
  env: Env,
): Promise<{ code: number; text: string }> {
  if (!/^[\w.-]+$/.test(name))
    throw new DavitError("invalid", `Cannot use credential helper ${JSON.stringify(name)}`);
  const program = `docker-credential-${name}`;
  const helper = spawnHelper(program, action, input, env);
  const output = outputOf(helper.stdout);
  const code = await helper.exited;
  // The output is not waited for: programs that it started may hold it open.
  if (helper.signalCode === null) return { code, text: await output };
  throw new DavitError("denied", `Cannot use ${program}: it did not end within ${PATIENCE / 1000} s`, {
    hint: `see whether \`${program} ${action}\` asks for something`,
  });
}

function spawnHelper(program: string, action: string, input: string, env: Env) {
  try {
    return Bun.spawn([program, action], {
      stdin: new TextEncoder().encode(input),
      stdout: "pipe",
      stderr: "ignore",
      env,
      timeout: PATIENCE,
      killSignal: "SIGKILL",
    });
  } catch (cause) {
    throw new DavitError("denied", `Cannot run ${program}: it is not on the PATH`, {
      cause,
      hint: "install it, or take it out of docker's config.json",
    });
  }
}
