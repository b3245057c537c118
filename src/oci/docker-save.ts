import { type ByteStream, type Bytes, collect, decode, peek } from "../bytes.ts";
import { decompressed, sniff } from "../compression.ts";
import { checkJson, Type } from "../schema.ts";
import { bad, shown } from "../tar/header.ts";
import { readTar, type TarEntry } from "../tar/read.ts";
import { type Descriptor, describe } from "./descriptor.ts";
import { type Digest, Digester, isDigest } from "./digest.ts";
import type { GzipPool } from "./gzip-pool.ts";
import { makeManifest } from "./manifest.ts";
import { mediaTypes } from "./media-types.ts";
import { type BlobWriter, contentOf, type Store } from "./store.ts";

/** An image out of a docker-save archive, its layers already in the store. */
export interface SavedImage {
  config: Bytes;
  layers: Descriptor[];
  /** Digest of each layer's uncompressed tar, in order. */
  diffIds: string[];
  tags: string[];
}

export interface DockerSaveOptions {
  gzip: GzipPool;
  /** The compressed blob of a layer that the store has by now. */
  known(diffId: Digest): Promise<Descriptor | undefined>;
  /** Told of each new layer. */
  stored?(diffId: Digest, layer: Descriptor): Promise<void>;
  onBytes?(bytes: number): void;
}

const Manifest = Type.Array(
  Type.Object({
    Config: Type.String(),
    RepoTags: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])),
    Layers: Type.Union([Type.Array(Type.String()), Type.Null()]),
  }),
  { minItems: 1 },
);
const Config = Type.Object({
  rootfs: Type.Object({ diff_ids: Type.Union([Type.Array(Type.String()), Type.Null()]) }),
});

/** Where docker, docker 25, podman and crane put layers. */
const LAYER = /^([0-9a-f]{64}\/layer\.tar|blobs\/.*|[0-9a-f]{64}\.tar(\.gz)?)$/;
const MAX_JSON = 8 * 1024 * 1024;
const MAX_JSON_TOTAL = 32 * 1024 * 1024;

interface Layer {
  descriptor: Descriptor;
  /** Undefined for a layer that came compressed. */
  diffId: Digest | undefined;
}

/**
 * Reads what `docker save` writes, from a stream that cannot seek: each layer is
 * compressed into the store as it comes, since what it belongs to (`manifest.json`,
 * the configs) comes last. Reads the classic form and the one of Docker 25.
 */
export async function ingestDockerSave(
  stream: ByteStream,
  store: Store,
  options: DockerSaveOptions,
): Promise<SavedImage[]> {
  const reader = new SaveReader(store, options);
  try {
    for await (const entry of readTar(decompressed(stream))) await reader.take(entry);
    return await reader.images();
  } finally {
    await reader.settle();
  }
}

/** Takes a docker-save archive's entries one by one. */
export class SaveReader {
  readonly #store: Store;
  readonly #options: DockerSaveOptions;
  readonly #json = new Map<string, Bytes>();
  /** A layer's last bytes may still be on their way to the disk while the next one is read. */
  readonly #layers = new Map<string, Promise<Layer>>();
  readonly #aliases = new Map<string, string>();
  #jsonBytes = 0;

  constructor(store: Store, options: DockerSaveOptions) {
    this.#store = store;
    this.#options = options;
  }

  async take(entry: TarEntry): Promise<void> {
    const name = entry.name.replace(/^(\.\/)+/, "");
    if (entry.type === "directory") return;
    if (entry.type === "symlink") return this.#alias(name, entry.linkname);
    if (entry.type !== "file")
      throw bad(`entry ${shown(entry.name)} is a ${entry.type}, and only plain files belong in it`);
    if (/(^|\/)(VERSION|json|repositories|oci-layout)$/.test(name)) return;
    const { head, rest } = await peek(entry.body, 4);
    if ((head[0] === 0x7b || head[0] === 0x5b) && entry.size <= MAX_JSON) await this.#hold(name, rest);
    else if (LAYER.test(name)) await this.#layer(name, head, rest);
  }

  /** A layer that two images share is written once, the second place a link to the first; podman links all of them. */
  #alias(name: string, target: string): void {
    const match = /^\.\.\/([0-9a-f]{64}(?:\/layer)?\.tar)$/.exec(target);
    if (!match?.[1] || !name.endsWith("/layer.tar"))
      throw bad(`entry ${shown(name)} is a link that leads out of it`);
    this.#aliases.set(name, match[1]);
  }

  async #hold(name: string, body: ByteStream): Promise<void> {
    const bytes = await collect(body, MAX_JSON, name);
    this.#jsonBytes += bytes.byteLength;
    if (this.#jsonBytes > MAX_JSON_TOTAL) throw bad("it holds too much JSON");
    this.#json.set(name, bytes);
  }

  async #layer(name: string, head: Bytes, body: ByteStream): Promise<void> {
    const named = name.replace(/^blobs\/([^/]+)\//, "$1:");
    const known = isDigest(named) ? await this.#options.known(named) : undefined;
    if (known && isDigest(named))
      this.#layers.set(name, Promise.resolve({ descriptor: known, diffId: named }));
    else if (sniff(head) === "none") await this.#compress(name, body);
    else this.#finish(name, await this.#write(this.#counted(body)), typeOf(head), undefined);
  }

  async #compress(name: string, body: ByteStream): Promise<void> {
    const digester = new Digester();
    async function* hashed(): AsyncGenerator<Bytes> {
      for await (const chunk of body) {
        digester.update(chunk);
        yield chunk;
      }
    }
    const writer = await this.#write(this.#options.gzip.compress(this.#counted(hashed())));
    this.#finish(name, writer, mediaTypes.ociLayerGzip, digester.digest());
  }

  async #write(stream: ByteStream): Promise<BlobWriter> {
    const writer = await this.#store.writer();
    try {
      for await (const chunk of stream) await writer.write(chunk);
    } catch (error) {
      await writer.abort();
      throw error;
    }
    return writer;
  }

  /** Makes a layer durable while the next one is already read; `images` waits for it. */
  #finish(name: string, writer: BlobWriter, mediaType: string, diffId: Digest | undefined): void {
    const commit = async (): Promise<Layer> => {
      const descriptor = await writer.commit(mediaType);
      if (diffId) await this.#options.stored?.(diffId, descriptor);
      return { descriptor, diffId };
    };
    const layer = commit();
    layer.catch(() => undefined);
    this.#layers.set(name, layer);
  }

  /** Whether there was a `manifest.json`. */
  get hasManifest(): boolean {
    return this.#json.has("manifest.json");
  }

  async settle(): Promise<void> {
    await Promise.allSettled(this.#layers.values());
  }

  async *#counted(stream: ByteStream): AsyncGenerator<Bytes> {
    for await (const chunk of stream) {
      this.#options.onBytes?.(chunk.byteLength);
      yield chunk;
    }
  }

  async images(): Promise<SavedImage[]> {
    const manifest = this.#json.get("manifest.json");
    if (!manifest) throw bad("it has no manifest.json");
    const images = checkJson(Manifest, decode(manifest), "manifest.json", "bad-archive");
    return await Promise.all(
      images.map(({ Config, Layers, RepoTags }) => this.#image(Config, Layers ?? [], RepoTags ?? [])),
    );
  }

  async #image(configPath: string, layerPaths: string[], tags: string[]): Promise<SavedImage> {
    const config = this.#json.get(configPath);
    if (!config) throw bad(`its config ${shown(configPath)} is missing`);
    const layers = await Promise.all(layerPaths.map((path) => this.#find(path)));
    const diffIds = checkJson(Config, decode(config), configPath, "bad-archive").rootfs.diff_ids ?? [];
    if (diffIds.length !== layers.length)
      throw bad(`its config names ${diffIds.length} layers, manifest.json ${layers.length}`);
    for (const [i, layer] of layers.entries())
      if (layer.diffId && layer.diffId !== diffIds[i])
        throw bad(`layer ${i + 1} is ${layer.diffId} where ${diffIds[i]} is promised`);
    return { config, layers: layers.map((layer) => layer.descriptor), diffIds, tags };
  }

  #find(path: string): Promise<Layer> {
    const layer = this.#layers.get(this.#aliases.get(path) ?? path);
    if (!layer) throw bad(`its layer ${shown(path)} is missing`);
    return layer;
  }
}

function typeOf(head: Bytes): string {
  return sniff(head) === "zstd" ? "application/vnd.oci.image.layer.v1.tar+zstd" : mediaTypes.ociLayerGzip;
}

/** Stores a saved image as an OCI image: its own config, and the layers the store has. */
export async function putImage(store: Store, config: Bytes, layers: Descriptor[]): Promise<Descriptor> {
  const descriptor = describe(mediaTypes.ociConfig, config);
  await store.push(descriptor, contentOf(config));
  return await putManifest(store, descriptor, layers);
}

/** The same where the config is in the store already. */
export async function putManifest(
  store: Store,
  config: Descriptor,
  layers: Descriptor[],
): Promise<Descriptor> {
  const { descriptor, bytes } = makeManifest(mediaTypes.ociManifest, { config, layers });
  await store.push(descriptor, contentOf(bytes));
  return descriptor;
}
