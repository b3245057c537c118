import type { ByteStream } from "../bytes.ts";
import type { EngineClient } from "./client.ts";
import { encodeHeader } from "./images.ts";
import { type EngineLine, engineLines } from "./messages.ts";

/** What a build asks of the engine: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageBuild */
export interface BuildRequest {
  /** Path of the Dockerfile inside the context. */
  dockerfile: string;
  args: Record<string, string>;
  target?: string | undefined;
  platform?: string | undefined;
  noCache: boolean;
  /** Images come from their registries, even where the engine has one of that name. */
  pull?: boolean;
  /** A line of every step's `/etc/hosts`, as `name:address`. */
  host?: string | undefined;
  tag?: string | undefined;
  /** Credentials for private base images, by server; the classic builder alone reads them. */
  registries?: Record<string, { username: string; password: string }>;
  /** The session that has the files, instead of a context sent along. */
  session?: string | undefined;
  /** BuildKit, or the classic builder. */
  version: "1" | "2";
  signal?: AbortSignal | undefined;
}

/** Sends a context and yields the engine's lines; a failed step is thrown as the engine words it. */
export async function* buildImage(
  client: EngineClient,
  context: ByteStream | undefined,
  request: BuildRequest,
): AsyncGenerator<EngineLine> {
  const response = await client.call("POST", "/build", {
    query: {
      dockerfile: request.dockerfile,
      buildargs: JSON.stringify(request.args),
      target: request.target,
      platform: request.platform,
      nocache: request.noCache ? "1" : undefined,
      pull: request.pull ? "1" : undefined,
      extrahosts: request.host,
      t: request.tag,
      version: request.version,
      ...(request.session ? { session: request.session, remote: "client-session" } : {}),
      rm: "1",
      forcerm: "1",
    },
    headers: {
      "content-type": "application/x-tar",
      ...(request.registries ? { "x-registry-config": encodeHeader(request.registries) } : {}),
    },
    ...(context ? { body: context } : {}),
    ...(request.signal ? { signal: request.signal } : {}),
  });
  yield* engineLines(response, "build");
}
