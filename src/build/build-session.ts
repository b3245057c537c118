import { hostname } from "node:os";
import { basename } from "node:path";
import { BinaryWriter } from "@bufbuild/protobuf/wire";
import { decode } from "../bytes.ts";
import { decodeBytes } from "../docker-api/bytes-message.ts";
import type { EngineClient } from "../docker-api/client.ts";
import {
  EngineSession,
  type SessionCall,
  type SessionMethods,
  type SessionName,
} from "../docker-api/session.ts";
import { DavitError } from "../errors.ts";
import { DOCKER_HUB } from "../oci/reference.ts";
import type { EngineBuild } from "./engine.ts";
import { fileSync } from "./file-sync.ts";
import type { Secrets } from "./secrets.ts";
import { sshMethods } from "./ssh-forward.ts";

/** What a build's session serves: its files, logins for private base images, its secrets, an ssh agent. */
export type SessionParts = Pick<
  EngineBuild,
  "context" | "credentials" | "onSent" | "onListed" | "onLine" | "secrets" | "ssh"
>;

/** A session of an engine for one build. */
export async function openBuildSession(client: EngineClient, parts: SessionParts): Promise<EngineSession> {
  return await EngineSession.open(client, sessionName(parts), sessionMethods(parts));
}

export function sessionName({ context }: SessionParts): SessionName {
  const root = context.root.path;
  const key = new Bun.CryptoHasher("sha256").update(`${hostname()}:${root}`).digest("hex");
  return { name: basename(root), key };
}

export function sessionMethods({
  context,
  credentials: find,
  onSent,
  onListed,
  onLine,
  secrets,
  ssh,
}: SessionParts): SessionMethods {
  return {
    "/moby.filesync.v1.FileSync/DiffCopy": fileSync(context, { onSent, onListed, onNote: onLine }),
    "/moby.filesync.v1.Auth/Credentials": (call) => credentials(call, find),
    "/moby.buildkit.secrets.v1.Secrets/GetSecret": (call) => secret(call, secrets),
    ...sshMethods(ssh),
  };
}

/** `CredentialsRequest { 1: host }` → `CredentialsResponse { 1: username, 2: secret }`; nothing is anonymous, and no name goes with an identity token. */
async function credentials(call: SessionCall, find: EngineBuild["credentials"]): Promise<void> {
  for await (const message of call.messages) {
    const host = firstField(message);
    const found = await find(host === "registry-1.docker.io" ? DOCKER_HUB : host);
    const writer = new BinaryWriter();
    if (found?.identityToken) writer.tag(2, 2).string(found.identityToken);
    else if (found) writer.tag(1, 2).string(found.username).tag(2, 2).string(found.password);
    return await call.send(writer.finish());
  }
}

/** `GetSecretRequest { 1: id }` → `GetSecretResponse { 1: data }`. */
async function secret(call: SessionCall, secrets: Secrets): Promise<void> {
  for await (const message of call.messages) {
    const id = firstField(message);
    const value = secrets.get(id);
    if (!value) throw new DavitError("not-found", `secret ${id} was not given: --secret id=${id},src=PATH`);
    return await call.send(new BinaryWriter().tag(1, 2).bytes(value).finish());
  }
}

function firstField(message: Uint8Array): string {
  return decode(decodeBytes(message));
}
