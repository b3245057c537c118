import { collect } from "../bytes.ts";
import type { EngineClient } from "../docker-api/client.ts";
import { imageConfig } from "../docker-api/image-config.ts";
import { EngineImages } from "../docker-api/images.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import { type Digest, isDigest } from "../oci/digest.ts";
import { ingestDockerSave, putImage, putManifest } from "../oci/docker-save.ts";
import { GzipPool } from "../oci/gzip-pool.ts";
import { mediaTypes } from "../oci/media-types.ts";
import type { ImageTarget } from "./engine.ts";
import { ownTag } from "./engine-tags.ts";
import { PushRegistry } from "./push-registry.ts";

/** A push pays once this many bytes need not move, and no more than an eighth does. */
const WORTH_PUSHING = 32 * 1024 * 1024;

/** An image on its way, and which of its layers the store lacks. */
interface Moving {
  id: Digest;
  diffIds: Digest[];
  missing: Digest[];
}

/** The largest config that is read, in bytes. */
const MAX_CONFIG = 8 * 1024 * 1024;

interface Name {
  repository: string;
  tag: string;
}

/**
 * Moves images of one engine into stores. The manifest is always made here, from
 * the engine's config and the rack's own blob for each layer, so an image that
 * did not change has the same manifest digest whichever way it came.
 */
export class EngineImageMover {
  readonly #client: EngineClient;
  readonly #images: EngineImages;
  readonly #mayPush: boolean;
  #reachesUs: boolean | undefined;

  constructor(client: EngineClient, mayPush: boolean) {
    this.#client = client;
    this.#images = new EngineImages(client);
    this.#mayPush = mayPush;
  }

  async move(image: string, target: ImageTarget, signal: AbortSignal): Promise<Descriptor> {
    const { Id, RootFS } = await this.#images.inspect(image);
    const diffIds = (RootFS?.Layers ?? []).filter(isDigest);
    const missing: Digest[] = [];
    for (const diffId of diffIds) if (!(await target.layer(diffId))) missing.push(diffId);
    const config = isDigest(Id) ? await target.blob(Id, mediaTypes.ociConfig) : undefined;
    if (config && missing.length === 0) return await known(config, target, await layersOf(target, diffIds));
    if (isDigest(Id) && (await this.#paysToPush(Id, missing.length)))
      return await this.#pushOrSave({ id: Id, diffIds, missing }, target, signal);
    return await this.#save(Id, target, signal);
  }

  /** Nothing is lost with a push that fails: the image can still be streamed, as long as its tag stays. */
  async #pushOrSave(image: Moving, target: ImageTarget, signal: AbortSignal): Promise<Descriptor> {
    await using registry = new PushRegistry(target, image.missing);
    const name: Name = { repository: `${registry.server.address}/${target.path}`, tag: ownTag() };
    await this.#images.tag(image.id, name.repository, name.tag);
    try {
      const pushed = await this.#push(registry, name, image, target, signal).catch((error: unknown) => {
        signal.throwIfAborted();
        target.onNote(`The engine could not push here, so its image is streamed (${reasonOf(error)})`);
      });
      return pushed ?? (await this.#save(image.id, target, signal));
    } finally {
      // The image is here by then; a name that stays is swept with the next build's.
      await this.#images
        .remove(`${name.repository}:${name.tag}`)
        .catch((error: unknown) => target.onNote(`The engine keeps a name of ours: ${reasonOf(error)}`));
    }
  }

  /** The newest steps are the missing ones: a layer above a changed one always changes with it. */
  async #paysToPush(id: string, missing: number): Promise<boolean> {
    if (!this.#mayPush) return false;
    const sizes = (await this.#images.sizes(id)).filter((size) => size > 0);
    const sum = (list: number[]): number => list.reduce((total, size) => total + size, 0);
    const total = sum(sizes);
    const moving = sum(sizes.slice(0, missing));
    return total - moving >= WORTH_PUSHING && moving <= total / 8;
  }

  /**
   * Has the engine push, takes the layers that are new, and breaks the push off:
   * what is left of it would compress once more what the store has. The config,
   * which would have come last, is asked for by itself.
   */
  async #push(
    registry: PushRegistry,
    name: Name,
    image: Moving,
    target: ImageTarget,
    signal: AbortSignal,
  ): Promise<Descriptor | undefined> {
    if (!(await this.#canReach(registry, signal))) return undefined;
    if (image.missing.length > 0) await this.#pushMissing(registry, name, signal);
    const config = await imageConfig(this.#client, `${name.repository}:${name.tag}`);
    if (describe(mediaTypes.ociConfig, config).digest !== image.id) return undefined;
    return await putImage(target.store, target.vet(config), await layersOf(target, image.diffIds));
  }

  async #pushMissing(registry: PushRegistry, { repository, tag }: Name, signal: AbortSignal): Promise<void> {
    const enough = new AbortController();
    const { username, password, address } = registry.server;
    const auth = { username, password, serveraddress: address };
    const pushing = drainLines(
      this.#images.push(repository, tag, auth, AbortSignal.any([signal, enough.signal])),
    );
    pushing.catch(() => undefined);
    await Promise.race([registry.complete, pushing]);
    enough.abort();
  }

  /** A remote or rootless engine's loopback is another place: it must be seen to come here before anything is pushed. */
  async #canReach(registry: PushRegistry, signal: AbortSignal): Promise<boolean> {
    this.#reachesUs ??= await registry.server.isReachedBy((name) =>
      drainLines(this.#images.pull(name, "probe", undefined, signal)),
    );
    return this.#reachesUs;
  }

  async #save(id: string, target: ImageTarget, signal: AbortSignal): Promise<Descriptor> {
    using gzip = new GzipPool();
    target.onWait("Waiting for the engine to hand over the image");
    const [image] = await ingestDockerSave(await this.#images.save([id], signal), target.store, {
      gzip,
      known: (diffId) => target.layer(diffId),
      stored: (diffId, layer) => target.remember(diffId, layer),
      onBytes: (bytes) => target.onBytes(bytes),
    });
    if (!image)
      throw new DavitError("engine", `Cannot read ${id} from the engine: its archive holds no image`);
    return await putImage(target.store, target.vet(image.config), image.layers);
  }
}

/** An image that is here already is looked at again: this build may know other secrets. */
async function known(config: Descriptor, target: ImageTarget, layers: Descriptor[]): Promise<Descriptor> {
  const bytes = await collect(await target.store.fetch(config), MAX_CONFIG, "the image's config");
  const vetted = target.vet(bytes);
  if (vetted === bytes) return await putManifest(target.store, config, layers);
  return await putImage(target.store, vetted, layers);
}

async function drainLines(lines: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of lines);
}

async function layersOf(target: ImageTarget, diffIds: Digest[]): Promise<Descriptor[]> {
  const layers: Descriptor[] = [];
  for (const diffId of diffIds) {
    const layer = await target.layer(diffId);
    if (!layer)
      throw new DavitError("engine", `Cannot store the image: the engine did not send layer ${diffId}`);
    layers.push(layer);
  }
  return layers;
}

/** Stores config and manifest of an image whose layers are in the store. */
