import { type ByteStream, type Bytes, collect, decode } from "../bytes.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import {
  type ImageIndex,
  type ImageManifest,
  MAX_MANIFEST,
  parseManifest,
  renderManifest,
} from "../oci/manifest.ts";
import { contentOf } from "../oci/store.ts";
import { verified } from "../oci/verify.ts";
import { checkJson, Type } from "../schema.ts";
import type { ImageTarget } from "./engine.ts";

/** An image that comes piece by piece, its manifests last: what may not be stored as it is becomes another image. */
export class ImageIntake {
  readonly #target: ImageTarget;
  readonly #held = new Map<string, { descriptor: Descriptor; bytes: Bytes }>();
  /** What each manifest became. */
  readonly #stored = new Map<string, Descriptor>();

  constructor(target: ImageTarget) {
    this.#target = target;
  }

  stored(digest: string): Descriptor | undefined {
    return this.#stored.get(digest);
  }

  isHeld(digest: string): boolean {
    return this.#held.has(digest);
  }

  /** Keeps a small JSON blob until a manifest says whether it is a config. */
  async hold(descriptor: Descriptor, stream: ByteStream): Promise<void> {
    const bytes = await collect(verified(stream, descriptor), MAX_MANIFEST, descriptor.digest);
    this.#held.set(descriptor.digest, { descriptor, bytes });
  }

  /** Returns the manifest as it is stored. */
  async manifest(descriptor: Descriptor, bytes: Bytes): Promise<Descriptor> {
    const manifest = parseManifest(bytes, descriptor);
    const rewritten =
      manifest.kind === "index" ? this.#index(manifest, bytes) : await this.#image(manifest, bytes);
    const content = rewritten === undefined ? bytes : renderManifest(rewritten);
    const stored = rewritten === undefined ? descriptor : describe(descriptor.mediaType, content);
    await this.#target.store.push(stored, contentOf(content));
    this.#stored.set(descriptor.digest, stored);
    return stored;
  }

  /** The same index, unless a manifest of it became another. */
  #index({ manifests }: ImageIndex, bytes: Bytes): object | undefined {
    if (manifests.every(({ digest }) => (this.#stored.get(digest)?.digest ?? digest) === digest))
      return undefined;
    const wire = checkJson(WireIndex, decode(bytes), "an index");
    return {
      ...wire,
      manifests: wire.manifests.map((entry) => ({ ...entry, ...placeOf(this.#stored.get(entry.digest)) })),
    };
  }

  /**
   * Returns another manifest where the config may not be stored as it is. The diff ids in the
   * config are not remembered: davit has not hashed the layers itself.
   */
  async #image({ config, layers }: ImageManifest, bytes: Bytes): Promise<object | undefined> {
    const { store } = this.#target;
    const original = this.#held.get(config.digest)?.bytes ?? (await this.#known(config));
    const vetted = this.#target.vet(original);
    const stored = describe(config.mediaType, vetted);
    await store.push(stored, contentOf(vetted));
    for (const layer of layers) {
      const held = this.#held.get(layer.digest);
      if (!held) continue;
      this.#target.vetStatement(held.bytes);
      await store.push(layer, contentOf(held.bytes));
    }
    if (vetted === original) return undefined;
    const wire = checkJson(WireImage, decode(bytes), "a manifest");
    return { ...wire, config: { ...wire.config, ...placeOf(stored) } };
  }

  async #known(config: Descriptor): Promise<Bytes> {
    return await collect(await this.#target.store.fetch(config), MAX_MANIFEST, "the image's config");
  }
}

function placeOf(descriptor: Descriptor | undefined): { digest?: string; size?: number } {
  return descriptor ? { digest: descriptor.digest, size: descriptor.size } : {};
}

const WireImage = Type.Object({ config: Type.Object({}) });
const WireIndex = Type.Object({ manifests: Type.Array(Type.Object({ digest: Type.String() })) });
