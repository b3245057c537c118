import { readFile } from "node:fs/promises";
import { DavitError } from "../errors.ts";
import { readText } from "../response-body.ts";
import { checkJson, Type } from "../schema.ts";
import type { Credentials, Env } from "./docker-auth.ts";
import { MAX_ANSWER, request } from "./request.ts";

const AccessToken = Type.Object({ access_token: Type.String() });
const RefreshToken = Type.Object({ refresh_token: Type.String() });
/** The user name that goes with an identity token of Azure's registry. */
const NOBODY = "00000000-0000-0000-0000-000000000000";
const RESOURCE = "https://management.azure.com/";

export function isAzure(host: string): boolean {
  return /^[a-z0-9-]+\.azurecr\.(io|cn|us|de)$/.test(host);
}

/** A login for Azure's registry: who this machine is, exchanged for an identity token. https://github.com/Azure/acr/blob/main/docs/AAD-OAuth.md */
export async function azureCredentials(
  host: string,
  env: Env,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const access = (await fromLogin(env, signal)) ?? (await fromMachine(env, signal));
  if (access === undefined) return undefined;
  const fields = {
    grant_type: "access_token",
    service: host,
    access_token: access,
    ...(env["AZURE_TENANT_ID"] ? { tenant: env["AZURE_TENANT_ID"] } : {}),
  };
  const base = env["DAVIT_ACR_ENDPOINT"] || `https://${host}`;
  const text = await post(`${base}/oauth2/exchange`, fields, `Cannot log in to ${host}`, signal);
  const { refresh_token } = checkJson(RefreshToken, text, "Azure's token", "registry");
  return { username: NOBODY, password: "", identityToken: refresh_token };
}

/** A service principal by its secret, or a workload by the token its cluster gives it. */
async function fromLogin(env: Env, signal?: AbortSignal): Promise<string | undefined> {
  const [tenant, client, secret, file] = [
    env["AZURE_TENANT_ID"],
    env["AZURE_CLIENT_ID"],
    env["AZURE_CLIENT_SECRET"],
    env["AZURE_FEDERATED_TOKEN_FILE"],
  ];
  if (!tenant || !client || !(secret || file)) return undefined;
  const proof: Record<string, string> = secret
    ? { client_secret: secret }
    : {
        client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        client_assertion: (await readFile(file ?? "", "utf8")).trim(),
      };
  const authority = (env["AZURE_AUTHORITY_HOST"] || "https://login.microsoftonline.com").replace(/\/$/, "");
  const fields = {
    grant_type: "client_credentials",
    client_id: client,
    scope: `${RESOURCE}.default`,
    ...proof,
  };
  const text = await post(
    `${authority}/${encodeURIComponent(tenant)}/oauth2/v2.0/token`,
    fields,
    "Cannot log in to Azure",
    signal,
  );
  return checkJson(AccessToken, text, "Azure's token", "registry").access_token;
}

async function post(
  url: string,
  fields: Record<string, string>,
  what: string,
  signal?: AbortSignal,
): Promise<string> {
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const response = await request(url, {
    method: "POST",
    headers,
    body: new URLSearchParams(fields).toString(),
    signal,
  });
  const text = await readText(response, MAX_ANSWER, "Azure's token", signal);
  if (response.status === 200) return text;
  throw new DavitError(
    "denied",
    `${what}: ${new URL(url).host} answered ${response.status}: ${text.slice(0, 300)}`,
  );
}

async function fromMachine(env: Env, signal?: AbortSignal): Promise<string | undefined> {
  const base = env["IDENTITY_ENDPOINT"] || "http://169.254.169.254/metadata/identity/oauth2/token";
  const client = env["AZURE_CLIENT_ID"] ? `&client_id=${encodeURIComponent(env["AZURE_CLIENT_ID"])}` : "";
  const version = env["IDENTITY_ENDPOINT"] ? "2019-08-01" : "2018-02-01";
  const url = `${base}?api-version=${version}&resource=${encodeURIComponent(RESOURCE)}${client}`;
  const headers: Record<string, string> = {
    metadata: "true",
    ...(env["IDENTITY_HEADER"] ? { "x-identity-header": env["IDENTITY_HEADER"] } : {}),
  };
  const soon = AbortSignal.any([AbortSignal.timeout(2000), ...(signal ? [signal] : [])]);
  try {
    const response = await request(url, { headers, trust: { plainHttp: true }, direct: true, signal: soon });
    const text = await readText(response, MAX_ANSWER, "Azure's token", soon);
    return response.status === 200
      ? checkJson(AccessToken, text, "the machine's token", "registry").access_token
      : undefined;
  } catch {
    signal?.throwIfAborted();
    return undefined;
  }
}
