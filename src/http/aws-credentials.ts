import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DavitError, systemCode } from "../errors.ts";
import { readText } from "../response-body.ts";
import { checkJson, Type } from "../schema.ts";
import type { Env } from "./docker-auth.ts";
import { MAX_ANSWER, request } from "./request.ts";

export interface AwsKeys {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string;
}

const RoleKeys = Type.Object({
  AccessKeyId: Type.String(),
  SecretAccessKey: Type.String(),
  Token: Type.Optional(Type.String()),
});
/** Where containers and instances ask for the keys of their role. */
const CONTAINERS = "http://169.254.170.2";
const INSTANCES = "http://169.254.169.254";

/**
 * AWS keys from where its own tools look, in their order: environment, web
 * identity, profile files, the container's role, the instance's.
 * https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html
 */
export async function awsCredentials(
  env: Env,
  region: string,
  signal?: AbortSignal,
): Promise<AwsKeys | undefined> {
  return (
    fromEnv(env) ??
    (await fromWebIdentity(env, region, signal)) ??
    (await fromProfile(env)) ??
    (await fromContainer(env, signal)) ??
    (await fromInstance(env, signal))
  );
}

function fromEnv(env: Env): AwsKeys | undefined {
  const [id, secret, token] = [
    env["AWS_ACCESS_KEY_ID"],
    env["AWS_SECRET_ACCESS_KEY"],
    env["AWS_SESSION_TOKEN"],
  ];
  return id && secret ? keys(id, secret, token) : undefined;
}

function keys(accessKeyId: string, secretAccessKey: string, sessionToken: string | undefined): AwsKeys {
  return { accessKeyId, secretAccessKey, ...(sessionToken ? { sessionToken } : {}) };
}

/** https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html: the one call that needs no signature. */
async function fromWebIdentity(env: Env, region: string, signal?: AbortSignal): Promise<AwsKeys | undefined> {
  const [file, role] = [env["AWS_WEB_IDENTITY_TOKEN_FILE"], env["AWS_ROLE_ARN"]];
  if (!file || !role) return undefined;
  const endpoint =
    env["AWS_ENDPOINT_URL_STS"] || env["AWS_ENDPOINT_URL"] || `https://sts.${region}.amazonaws.com`;
  const body = new URLSearchParams({
    Action: "AssumeRoleWithWebIdentity",
    Version: "2011-06-15",
    RoleArn: role,
    RoleSessionName: env["AWS_ROLE_SESSION_NAME"] || "davit",
    WebIdentityToken: (await readFile(file, "utf8")).trim(),
  });
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const response = await request(`${endpoint.replace(/\/$/, "")}/`, {
    method: "POST",
    headers,
    body: body.toString(),
    signal,
  });
  const text = await readText(response, MAX_ANSWER, "AWS's answer", signal);
  const field = (name: string) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)?.[1];
  const [id, secret] = [field("AccessKeyId"), field("SecretAccessKey")];
  if (response.status === 200 && id && secret) return keys(id, secret, field("SessionToken"));
  throw new DavitError(
    "denied",
    `Cannot assume ${role}: ${new URL(endpoint).host} answered ${response.status}: ${field("Message") ?? ""}`,
  );
}

async function fromProfile(env: Env): Promise<AwsKeys | undefined> {
  const home = join(env["HOME"] || homedir(), ".aws");
  const profile = env["AWS_PROFILE"] || env["AWS_DEFAULT_PROFILE"] || "default";
  const files: [path: string, section: string][] = [
    [env["AWS_SHARED_CREDENTIALS_FILE"] || join(home, "credentials"), profile],
    [env["AWS_CONFIG_FILE"] || join(home, "config"), profile === "default" ? profile : `profile ${profile}`],
  ];
  for (const [path, section] of files) {
    const values = readSection(await readIfThere(path), section);
    const [id, secret] = [values["aws_access_key_id"], values["aws_secret_access_key"]];
    if (id && secret) return keys(id, secret, values["aws_session_token"]);
  }
  return undefined;
}

async function readIfThere(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EACCES"].includes(systemCode(error) ?? "")) return "";
    throw error;
  }
}

/** One `[section]` of an ini file. */
export function readSection(text: string, section: string): Record<string, string> {
  const values: Record<string, string> = {};
  let inside = false;
  for (const line of text.split("\n")) {
    const text = line.trim();
    const equals = text.indexOf("=");
    if (text.startsWith("[") && text.includes("]"))
      inside = text.slice(1, text.indexOf("]")).trim() === section;
    else if (inside && equals > 0 && /^[\w-]+\s*$/.test(text.slice(0, equals)))
      values[text.slice(0, equals).trim()] = text.slice(equals + 1).trim();
  }
  return values;
}

async function fromContainer(env: Env, signal?: AbortSignal): Promise<AwsKeys | undefined> {
  const relative = env["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
  const url = relative ? new URL(relative, CONTAINERS).href : env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
  if (!url) return undefined;
  const file = env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"];
  const token = file ? (await readIfThere(file)).trim() : env["AWS_CONTAINER_AUTHORIZATION_TOKEN"];
  // The address is the machine's own environment's word, and link-local has no TLS.
  const trust = { plainHttp: true };
  const response = await request(url, {
    ...(token ? { authorization: token } : {}),
    trust,
    signal,
    direct: true,
  });
  const text = await readText(response, MAX_ANSWER, "AWS's answer", signal);
  if (response.status !== 200) return undefined;
  const role = checkJson(RoleKeys, text, "the container's role", "registry");
  return keys(role.AccessKeyId, role.SecretAccessKey, role.Token);
}

/** https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html, version 2 only. */
async function fromInstance(env: Env, signal?: AbortSignal): Promise<AwsKeys | undefined> {
  if (env["AWS_EC2_METADATA_DISABLED"] === "true") return undefined;
  const base = (env["AWS_EC2_METADATA_SERVICE_ENDPOINT"] || INSTANCES).replace(/\/$/, "");
  const soon = AbortSignal.any([AbortSignal.timeout(2000), ...(signal ? [signal] : [])]);
  const ask = async (path: string, method: "GET" | "PUT", headers: Record<string, string>) => {
    const response = await request(base + path, {
      method,
      headers,
      trust: { plainHttp: true },
      direct: true,
      signal: soon,
    });
    return response.status === 200 ? await readText(response, MAX_ANSWER, "AWS's answer", soon) : undefined;
  };
  try {
    const token = await ask("/latest/api/token", "PUT", { "x-aws-ec2-metadata-token-ttl-seconds": "60" });
    if (token === undefined) return undefined;
    const headers = { "x-aws-ec2-metadata-token": token };
    const path = "/latest/meta-data/iam/security-credentials/";
    const role = (await ask(path, "GET", headers))?.trim().split("\n")[0];
    const text = role && (await ask(path + role, "GET", headers));
    if (!text) return undefined;
    const found = checkJson(RoleKeys, text, "the instance's role", "registry");
    return keys(found.AccessKeyId, found.SecretAccessKey, found.Token);
  } catch {
    signal?.throwIfAborted();
    return undefined; // This is no such machine.
  }
}
