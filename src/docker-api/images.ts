import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import { type Static, Type } from "../schema.ts";
import type { EngineClient } from "./client.ts";
import { type EngineLine, engineLines } from "./messages.ts";

/** What `inspect` tells of an image: https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Image/operation/ImageInspect */
export const ImageInfo = Type.Object({
  Id: Type.String(),
  RepoTags: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
  RepoDigests: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
  Os: Type.Optional(Type.String()),
  Architecture: Type.Optional(Type.String()),
  Config: Type.Optional(
    Type.Union([
      Type.Object({ Entrypoint: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])) }),
      Type.Null(),
    ]),
  ),
  RootFS: Type.Optional(
    Type.Object({ Layers: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])) }),
  ),
});
export type ImageInfo = Static<typeof ImageInfo>;

const ImageList = Type.Array(
  Type.Object({ RepoTags: Type.Union([Type.Array(Type.String()), Type.Null()]), Created: Type.Integer() }),
);
const History = Type.Array(Type.Object({ Size: Type.Integer() }));

export interface RegistryAuth {
  username: string;
  password: string;
  serveraddress: string;
}

/** The image endpoints of the Engine API. */
export class EngineImages {
  readonly #client: EngineClient;

  constructor(client: EngineClient) {
    this.#client = client;
  }

  async inspect(ref: string): Promise<ImageInfo> {
    return await this.#client.json(ImageInfo, "GET", `/images/${escapeRef(ref)}/json`);
  }

  /** The image, or undefined when the engine has none of that name. */
  async find(ref: string): Promise<ImageInfo | undefined> {
    return await this.inspect(ref).catch((error: unknown) => {
      if (hasCode(error, "not-found")) return undefined;
      throw error;
    });
  }

  /** Names that match a pattern such as `repository` or `host/*`, each with its image's age in seconds since 1970. */
  async names(pattern: string): Promise<{ name: string; created: number }[]> {
    const query = { filters: JSON.stringify({ reference: [pattern] }) };
    const images = await this.#client.json(ImageList, "GET", "/images/json", { query });
    return images.flatMap(({ RepoTags, Created }) =>
      (RepoTags ?? []).map((name) => ({ name, created: Created })),
    );
  }

  /** Uncompressed bytes of each step that made a layer, newest first; steps without one have 0. */
  async sizes(ref: string): Promise<number[]> {
    return (await this.#client.json(History, "GET", `/images/${escapeRef(ref)}/history`)).map(
      (step) => step.Size,
    );
  }

  /** A docker-save archive. Classic stores spool the whole image before the first byte. */
  async save(refs: string[], signal?: AbortSignal): Promise<ByteStream> {
    const query = refs.map((ref) => `names=${encodeURIComponent(ref)}`).join("&");
    const response = await this.#client.call("GET", `/images/get?${query}`, signal ? { signal } : {});
    const body: ReadableStream<Bytes> | null = response.body;
    if (!body)
      throw new DavitError("engine", `Cannot read ${refs.join(", ")} from the engine: it sent nothing`);
    return broken(body, `read ${refs.join(", ")} from the engine`);
  }

  async load(archive: ByteStream): Promise<EngineLine[]> {
    const response = await this.#client.call("POST", "/images/load", {
      body: archive,
      headers: { "content-type": "application/x-tar" },
    });
    return await Array.fromAsync(engineLines(response, "load the image"));
  }

  async tag(ref: string, repo: string, tag: string): Promise<void> {
    await this.#client.call("POST", `/images/${escapeRef(ref)}/tag`, { query: { repo, tag } });
  }

  /** Removes a name, and the image when it was its last; layers still in use stay. `force`: also where a container that has ended was made of it. */
  async remove(ref: string, { force = false } = {}): Promise<void> {
    const query = { noprune: "1", force: force ? "1" : undefined };
    await this.#client.call("DELETE", `/images/${escapeRef(ref)}`, { query }).catch((error: unknown) => {
      if (!hasCode(error, "not-found", "conflict")) throw error;
    });
  }

  push(name: string, tag: string, auth: RegistryAuth, signal?: AbortSignal): AsyncGenerator<EngineLine> {
    return this.#lines(
      "POST",
      `/images/${escapeRef(name)}/push`,
      { tag },
      auth,
      `push ${name}:${tag}`,
      signal,
    );
  }

  pull(name: string, tag: string, auth?: RegistryAuth, signal?: AbortSignal): AsyncGenerator<EngineLine> {
    return this.#lines(
      "POST",
      "/images/create",
      { fromImage: name, tag },
      auth,
      `pull ${name}:${tag}`,
      signal,
    );
  }

  async *#lines(
    method: string,
    path: string,
    query: Record<string, string>,
    auth: RegistryAuth | undefined,
    doing: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<EngineLine> {
    const headers = { "x-registry-auth": encodeHeader(auth ?? {}) };
    const response = await this.#client.call(method, path, { query, headers, ...(signal ? { signal } : {}) });
    yield* engineLines(response, doing);
  }
}

/** A header's JSON in URL-safe base64. The engine's decoder wants the padding, and takes its lack for no credentials. */
export function encodeHeader(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
}

/** References keep their slashes and colons in Engine paths. */
function escapeRef(ref: string): string {
  return ref.split("/").map(encodeURIComponent).join("/").replaceAll("%3A", ":").replaceAll("%40", "@");
}

async function* broken(stream: ByteStream, doing: string): AsyncGenerator<Bytes> {
  const garbage = new Garbage();
  try {
    for await (const chunk of stream) {
      yield chunk;
      garbage.free(chunk);
    }
  } catch (error) {
    if (error instanceof DavitError) throw error;
    if (error instanceof Error && error.name === "AbortError")
      throw new DavitError("interrupted", "Interrupted", { cause: error });
    throw new DavitError("engine", `Cannot ${doing}: its answer broke off (${reasonOf(error)})`, {
      cause: error,
    });
  }
}
