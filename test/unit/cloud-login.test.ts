import { expect, test } from "bun:test";
import { createVerify, generateKeyPairSync } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { registryCredentials } from "../../src/http/credentials.ts";
import { tempDir } from "../support/temp.ts";

type Handler = (request: Request, url: URL, body: string) => Response | Promise<Response>;

/** A cloud's endpoints at a socket. */
function cloud(handle: Handler) {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => handle(request, new URL(request.url), await request.text()),
  });
  return { url: `http://127.0.0.1:${server.port}`, [Symbol.asyncDispose]: () => server.stop(true) };
}

const none = { DOCKER_CONFIG: "/nonexistent", AWS_EC2_METADATA_DISABLED: "true", HOME: "/nonexistent" };
let account = 100_000_000_000;
/** Tokens are remembered by host, so each test has one of its own. */
const ecrHost = () => `${account++}.dkr.ecr.eu-west-1.amazonaws.com`;
const ecrToken = (password: string) =>
  Response.json({
    authorizationData: [{ authorizationToken: Buffer.from(`AWS:${password}`).toString("base64") }],
  });

test("ECR: keys from the environment sign one call", async () => {
  let seen: Record<string, string> = {};
  await using aws = cloud((request, _, body) => {
    seen = {
      authorization: request.headers.get("authorization") ?? "",
      target: request.headers.get("x-amz-target") ?? "",
      session: request.headers.get("x-amz-security-token") ?? "",
      body,
    };
    return ecrToken("p1");
  });
  const host = ecrHost();
  const env = {
    ...none,
    AWS_ACCESS_KEY_ID: "AKID",
    AWS_SECRET_ACCESS_KEY: "secret",
    AWS_SESSION_TOKEN: "session",
    AWS_ENDPOINT_URL_ECR: aws.url,
  };
  expect(await registryCredentials(host, { env })).toEqual({ username: "AWS", password: "p1" });
  expect(seen["authorization"]).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKID\/\d{8}\/eu-west-1\/ecr\/aws4_request, SignedHeaders=[^,]*x-amz-target[^,]*, Signature=[0-9a-f]{64}$/,
  );
  expect(seen).toMatchObject({
    target: "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
    session: "session",
    body: JSON.stringify({ registryIds: [host.slice(0, 12)] }),
  });
});

test("ECR: a profile's keys, a web identity's, a container's and an instance's", async () => {
  using dir = tempDir();
  const who: string[] = [];
  await using aws = cloud((request, url, body) => {
    if (body.includes("AssumeRoleWithWebIdentity")) {
      expect(new URLSearchParams(body).get("WebIdentityToken")).toBe("jwt");
      return new Response(
        "<R><Credentials><AccessKeyId>WEB</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken></Credentials></R>",
      );
    }
    if (url.pathname === "/role")
      return request.headers.get("authorization") === "tok"
        ? Response.json({ AccessKeyId: "BOX", SecretAccessKey: "s", Token: "t" })
        : new Response(null, { status: 403 });
    if (url.pathname === "/latest/api/token")
      return request.method === "PUT" ? new Response("imds") : new Response(null, { status: 405 });
    if (url.pathname.startsWith("/latest/meta-data/")) {
      if (request.headers.get("x-aws-ec2-metadata-token") !== "imds")
        return new Response(null, { status: 401 });
      return url.pathname.endsWith("/node")
        ? Response.json({ AccessKeyId: "VM", SecretAccessKey: "s", Token: "t" })
        : new Response("node\n");
    }
    who.push(/Credential=(\w+)/.exec(request.headers.get("authorization") ?? "")?.[1] ?? "");
    return ecrToken("p");
  });
  await writeFile(dir.join("credentials"), "[ci]\naws_access_key_id = FILE\naws_secret_access_key = s\n");
  await writeFile(dir.join("jwt"), "jwt\n");
  const base = { ...none, AWS_ENDPOINT_URL_ECR: aws.url };
  for (const env of [
    { ...base, AWS_PROFILE: "ci", AWS_SHARED_CREDENTIALS_FILE: dir.join("credentials") },
    {
      ...base,
      AWS_WEB_IDENTITY_TOKEN_FILE: dir.join("jwt"),
      AWS_ROLE_ARN: "arn:aws:iam::1:role/x",
      AWS_ENDPOINT_URL_STS: aws.url,
    },
    {
      ...base,
      AWS_CONTAINER_CREDENTIALS_FULL_URI: `${aws.url}/role`,
      AWS_CONTAINER_AUTHORIZATION_TOKEN: "tok",
    },
    { ...base, AWS_EC2_METADATA_DISABLED: "", AWS_EC2_METADATA_SERVICE_ENDPOINT: aws.url },
  ])
    expect(await registryCredentials(ecrHost(), { env })).toEqual({ username: "AWS", password: "p" });
  expect(who).toEqual(["FILE", "WEB", "BOX", "VM"]);
});

test("ECR: without any keys it is anonymous; a refusal is told in Amazon's words", async () => {
  expect(await registryCredentials(ecrHost(), { env: none })).toBeUndefined();
  await using aws = cloud(() => new Response('{"message":"no such principal"}', { status: 400 }));
  const env = { ...none, AWS_ACCESS_KEY_ID: "A", AWS_SECRET_ACCESS_KEY: "s", AWS_ENDPOINT_URL_ECR: aws.url };
  await expect(registryCredentials(ecrHost(), { env })).rejects.toThrow("no such principal");
});

test("Google: a service account signs who it is; a user's refresh token and a machine's token do as well", async () => {
  using dir = tempDir();
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await using google = cloud((request, url, body) => {
    if (url.pathname.startsWith("/computeMetadata/"))
      return request.headers.get("metadata-flavor") === "Google"
        ? Response.json({ access_token: "machine" })
        : new Response(null, { status: 403 });
    const form = new URLSearchParams(body);
    if (form.get("grant_type") === "refresh_token")
      return Response.json({ access_token: `user ${form.get("refresh_token")}` });
    const [header, claims, signature] = (form.get("assertion") ?? "").split(".");
    const valid = createVerify("RSA-SHA256")
      .update(`${header}.${claims}`)
      .verify(publicKey, signature ?? "", "base64url");
    return Response.json({
      access_token: valid
        ? `service ${JSON.parse(Buffer.from(claims ?? "", "base64url").toString()).iss}`
        : "bad",
    });
  });
  const file = async (name: string, content: object) => {
    await writeFile(dir.join(name), JSON.stringify(content));
    return { ...none, GOOGLE_APPLICATION_CREDENTIALS: dir.join(name) };
  };
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  const service = await file("service.json", {
    type: "service_account",
    client_email: "ci@x",
    private_key: pem,
    token_uri: `${google.url}/token`,
  });
  const user = await file("user.json", {
    type: "authorized_user",
    client_id: "i",
    client_secret: "s",
    refresh_token: "r",
    token_uri: `${google.url}/token`,
  });
  const machine = {
    ...none,
    GOOGLE_APPLICATION_CREDENTIALS: "/nonexistent/x",
    GCE_METADATA_HOST: new URL(google.url).host,
  };
  const password = async (env: Record<string, string>) =>
    (await registryCredentials("europe-docker.pkg.dev", { env }))?.password;
  expect([await password(service), await password(user), await password(machine)]).toEqual([
    "service ci@x",
    "user r",
    "machine",
  ]);
});

test("Azure: a service principal's token is exchanged for an identity token", async () => {
  await using azure = cloud((_, url, body) => {
    const form = new URLSearchParams(body);
    if (url.pathname === "/tenant/oauth2/v2.0/token")
      return Response.json({ access_token: `aad ${form.get("client_secret")}` });
    expect([form.get("service"), form.get("access_token")]).toEqual(["mine.azurecr.io", "aad hush"]);
    return Response.json({ refresh_token: "identity" });
  });
  const env = {
    ...none,
    AZURE_TENANT_ID: "tenant",
    AZURE_CLIENT_ID: "c",
    AZURE_CLIENT_SECRET: "hush",
    AZURE_AUTHORITY_HOST: azure.url,
    DAVIT_ACR_ENDPOINT: azure.url,
  };
  expect(await registryCredentials("mine.azurecr.io", { env })).toMatchObject({ identityToken: "identity" });
});

test("docker's own settings come before the cloud's, and an identity token is known as one", async () => {
  using dir = tempDir();
  const host = ecrHost();
  const auths = {
    [host]: { auth: Buffer.from("me:mine").toString("base64") },
    "other.example": { identitytoken: "it" },
  };
  await writeFile(dir.join("config.json"), JSON.stringify({ auths }));
  const env = { ...none, DOCKER_CONFIG: dir.path };
  expect(await registryCredentials(host, { env })).toEqual({ username: "me", password: "mine" });
  expect(await registryCredentials("other.example", { env })).toMatchObject({ identityToken: "it" });
});
