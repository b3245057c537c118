import { DavitError } from "../errors.ts";
import { readText } from "../response-body.ts";
import { checkJson, Type } from "../schema.ts";
import { awsCredentials } from "./aws-credentials.ts";
import type { Credentials, Env } from "./docker-auth.ts";
import { MAX_ANSWER, request } from "./request.ts";

const HOST = /^(\d{12})\.dkr[.-]ecr(-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com(\.cn)?|on\.aws)$/;
const Answer = Type.Object({
  authorizationData: Type.Array(Type.Object({ authorizationToken: Type.String() }), { minItems: 1 }),
});
/** How long a token is used, of the twelve hours it is good for, in milliseconds. */
const LIFE = 11 * 60 * 60 * 1000;

const tokens = new Map<string, { credentials: Credentials; until: number }>();

export function isEcr(host: string): boolean {
  return HOST.test(host);
}

/**
 * A login for Amazon's registry, by one signed call:
 * https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html
 */
export async function ecrCredentials(
  host: string,
  env: Env,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const known = tokens.get(host);
  if (known && performance.now() < known.until) return known.credentials;
  const [, account = "", fips = "", region = "", china = ""] = HOST.exec(host) ?? [];
  const keys = await awsCredentials(env, region, signal);
  if (!keys) return undefined;
  const endpoint =
    env["AWS_ENDPOINT_URL_ECR"] ||
    env["AWS_ENDPOINT_URL"] ||
    `https://api.ecr${fips}.${region}.amazonaws.com${china}`;
  const { AwsV4Signer } = await import("aws4fetch");
  const signed = await new AwsV4Signer({
    ...keys,
    method: "POST",
    url: `${endpoint.replace(/\/$/, "")}/`,
    service: "ecr",
    region,
    headers: {
      "content-type": "application/x-amz-json-1.1",
      "x-amz-target": "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
    },
    body: JSON.stringify({ registryIds: [account] }),
  }).sign();
  const response = await request(signed.url.href, {
    method: "POST",
    headers: Object.fromEntries(signed.headers),
    body: JSON.stringify({ registryIds: [account] }),
    signal,
  });
  const text = await readText(response, MAX_ANSWER, "ECR's answer", signal);
  if (response.status !== 200)
    throw new DavitError(
      "denied",
      `Cannot log in to ${host}: ${new URL(endpoint).host} answered ${response.status}: ${text.slice(0, 300)}`,
      {
        hint: "check the AWS credentials, and that they allow ecr:GetAuthorizationToken",
      },
    );
  const pair = Buffer.from(
    checkJson(Answer, text, "ECR's answer", "registry").authorizationData[0]?.authorizationToken ?? "",
    "base64",
  ).toString();
  const colon = pair.indexOf(":");
  const credentials = { username: pair.slice(0, colon), password: pair.slice(colon + 1) };
  tokens.set(host, { credentials, until: performance.now() + LIFE });
  return credentials;
}
