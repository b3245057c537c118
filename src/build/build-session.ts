import { hostname } from "node:os";
import { basename, resolve } from "node:path";
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import type { EngineClient } from "../docker-api/client.ts";
import { EngineSession, type SessionCall } from "../docker-api/session.ts";
import { DOCKER_HUB } from "../oci/reference.ts";
import type { EngineBuild } from "./engine.ts";
import { fileSync } from "./file-sync.ts";

/** A session for one build: its files, and credentials for private base images. */
export async function openBuildSession(
  client: EngineClient,
  { context, credentials: find, onSent }: Pick<EngineBuild, "context" | "credentials" | "onSent">,
): Promise<EngineSession> {
  const root = resolve(context.root);
  const key = new Bun.CryptoHasher("sha256").update(`${hostname()}:${root}`).digest("hex");
  return await EngineSession.open(client, basename(root), key, {
    "/moby.filesync.v1.FileSync/DiffCopy": fileSync(context, onSent),
    "/moby.filesync.v1.Auth/Credentials": (call) => credentials(call, find),
  });
}

/** `CredentialsRequest { 1: host }` → `CredentialsResponse { 1: username, 2: secret }`; nothing is anonymous. */
async function credentials(call: SessionCall, find: EngineBuild["credentials"]): Promise<void> {
  for await (const message of call.messages) {
    const host = firstField(message);
    const found = await find(host === "registry-1.docker.io" ? DOCKER_HUB : host);
    const writer = new BinaryWriter();
    if (found) writer.tag(1, 2).string(found.username).tag(2, 2).string(found.password);
    return await call.send(writer.finish());
  }
}

function firstField(message: Uint8Array): string {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) return reader.string();
    reader.skip(type);
  }
  return "";
}
