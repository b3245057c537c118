import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DavitError, systemCode } from "../errors.ts";
import { readText } from "../response-body.ts";
import { checkJson, Type } from "../schema.ts";
import type { Credentials, Env } from "./docker-auth.ts";
import { MAX_ANSWER, request } from "./request.ts";

const Key = Type.Object({
  type: Type.String(),
  client_email: Type.Optional(Type.String()),
  private_key: Type.Optional(Type.String()),
  token_uri: Type.Optional(Type.String()),
  client_id: Type.Optional(Type.String()),
  client_secret: Type.Optional(Type.String()),
  refresh_token: Type.Optional(Type.String()),
});
const Token = Type.Object({ access_token: Type.String() });
const TOKEN_URI = "https://oauth2.googleapis.com/token";
const SCOPE = "https://www.googleapis.com/auth/cloud-platform";

export function isGoogle(host: string): boolean {
  return /^((\w+\.)?gcr\.io|[a-z0-9-]+-docker\.pkg\.dev)$/.test(host);
}

/** A login for Google's registries: an access token as password. https://cloud.google.com/artifact-registry/docs/docker/authentication */
export async function googleCredentials(env: Env, signal?: AbortSignal): Promise<Credentials | undefined> {
  const token = (await fromKeyFile(env, signal)) ?? (await fromMachine(env, signal));
  return token === undefined ? undefined : { username: "oauth2accesstoken", password: token };
}

async function fromKeyFile(env: Env, signal?: AbortSignal): Promise<string | undefined> {
  const path =
    env["GOOGLE_APPLICATION_CREDENTIALS"] ||
    join(
      env["CLOUDSDK_CONFIG"] || join(env["HOME"] || homedir(), ".config", "gcloud"),
      "application_default_credentials.json",
    );
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const key = checkJson(Key, text, path);
  const uri = key.token_uri ?? TOKEN_URI;
  if (key.private_key && key.client_email)
    return await exchange(
      uri,
      {
        grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
        assertion: await assertion(key.client_email, key.private_key, uri),
      },
      signal,
    );
  if (!key.refresh_token) return undefined;
  return await exchange(
    uri,
    {
      grant_type: "refresh_token",
      client_id: key.client_id ?? "",
      client_secret: key.client_secret ?? "",
      refresh_token: key.refresh_token,
    },
    signal,
  );
}

async function exchange(uri: string, fields: Record<string, string>, signal?: AbortSignal): Promise<string> {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const body = new URLSearchParams(fields).toString();
  const response = await request(uri, { method: "POST", headers, body, signal });
  const text = await readText(response, MAX_ANSWER, "Google's token", signal);
  if (response.status === 200) return checkJson(Token, text, "Google's token", "registry").access_token;
  throw new DavitError(
    "denied",
    `Cannot log in to Google: ${new URL(uri).host} answered ${response.status}: ${text.slice(0, 300)}`,
  );
}

/** A signed statement of who we are: https://developers.google.com/identity/protocols/oauth2/service-account#httprest */
async function assertion(email: string, pem: string, audience: string): Promise<string> {
  const der = Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ""), "base64");
  const algorithm = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { iss: email, scope: SCOPE, aud: audience, iat: now, exp: now + 3600 };
  const text = `${part({ alg: "RS256", typ: "JWT" })}.${part(claims)}`;
  const signature = await crypto.subtle.sign(algorithm.name, key, new TextEncoder().encode(text));
  return `${text}.${Buffer.from(signature).toString("base64url")}`;
}

async function fromMachine(env: Env, signal?: AbortSignal): Promise<string | undefined> {
  const host = env["GCE_METADATA_HOST"] || "metadata.google.internal";
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/token`;
  const soon = AbortSignal.any([AbortSignal.timeout(2000), ...(signal ? [signal] : [])]);
  try {
    const response = await request(url, {
      headers: { "metadata-flavor": "Google" },
      trust: { plainHttp: true },
      direct: true,
      signal: soon,
    });
    const text = await readText(response, MAX_ANSWER, "Google's token", soon);
    return response.status === 200
      ? checkJson(Token, text, "the machine's token", "registry").access_token
      : undefined;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}
