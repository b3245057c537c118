import { type ByteStream, drain } from "../bytes.ts";
import { hasCode } from "../errors.ts";
import type { Credentials, Env } from "../http/docker-auth.ts";
import { discard } from "../http/request.ts";
import { type Descriptor, describe } from "../oci/descriptor.ts";
import { type Digest, digestHex } from "../oci/digest.ts";
import { makeManifest, NO_IMAGE } from "../oci/manifest.ts";
import { isManifestType, mediaTypes } from "../oci/media-types.ts";
import { parseReference } from "../oci/reference.ts";
import { RegistryClient, type RegistryOptions } from "../oci/registry-client.ts";
import { registryError } from "../oci/registry-error.ts";
import { RegistryStore } from "../oci/registry-store.ts";
import { RelayedUpload } from "../oci/relayed-upload.ts";
import { type Content, contentOf } from "../oci/store.ts";
import type { UploadNotes } from "../oci/upload-journal.ts";
import { verified } from "../oci/verify.ts";
import type { Place, PlaceWriter, Upload } from "./place.ts";

/** A registry drops what nothing names: such a blob is named by an image of nothing else, of this type. */
const KEEPER_TYPE = "application/vnd.davit.kept";
/** Tries of a manifest whose blobs are known to be there, and the first pause between them, in milliseconds. */
const TRIES = 5;
const PAUSE = 50;
/** Answers that mean a thing is gone, or that this registry lets nobody delete it: then it goes by the registry's own rules. */
const SETTLED = [200, 202, 204, 400, 401, 403, 404, 405, 501];

/** Repositories below a prefix of a registry, one for each app: `HOST/PREFIX/APP`. */
export class RegistryPlace implements Place {
  readonly name: string;
  readonly #options: RegistryOptions;
  readonly #stores = new Map<string, RegistryStore>();
  readonly #turns = new Map<string, Promise<void>>();
  #client: Promise<RegistryClient> | undefined;

  constructor(name: string, options: RegistryOptions) {
    this.name = name;
    this.#options = options;
  }

  async has(app: string, descriptor: Descriptor): Promise<boolean> {
    return (await this.#store(app).exists(descriptor)) === "yes";
  }

  read(app: string, descriptor: Descriptor, from: number): Promise<ByteStream> {
    return this.#store(app).fetch(descriptor, from);
  }

  /** What the registry has already is read all the same: the bytes are the proof of a right to it. */
  async push(app: string, descriptor: Descriptor, content: Content, source?: string): Promise<void> {
    const store = source === undefined ? this.#store(app) : this.#open(app, source);
    const proved = source !== undefined || isManifestType(descriptor.mediaType);
    if (!proved && (await store.exists(descriptor)) === "yes")
      await drain(verified(await content.open(0), descriptor));
    else if (isManifestType(descriptor.mediaType))
      await this.#inTurn(app, () => store.push(descriptor, content));
    else await store.push(descriptor, content);
  }

  writer(app: string, expected?: Descriptor): Promise<PlaceWriter> {
    return this.#store(app).writer(expected);
  }

  async upload(app: string, _id: string, notes: UploadNotes): Promise<Upload> {
    return await RelayedUpload.open(await this.#store(app).uploadNoted(notes));
  }

  async tag(app: string, manifest: Descriptor, name: string): Promise<void> {
    await this.#inTurn(app, () => this.#store(app).tag(manifest, name));
  }

  /**
   * Manifests one after the other, and once more when the registry misses what it has:
   * distribution writes its links in place, and reads them half-written when the same
   * manifest is pushed twice at a time.
   */
  async #inTurn(app: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(app) ?? Promise.resolve()).then(() => persist(work));
    this.#turns.set(
      app,
      turn.catch(() => undefined),
    );
    await turn;
  }

  async keep(app: string, blob: Descriptor): Promise<void> {
    const store = this.#store(app);
    const config = describe(mediaTypes.ociConfig, NO_IMAGE);
    await store.push(config, contentOf(NO_IMAGE));
    const layers = [{ ...blob, mediaType: KEEPER_TYPE }];
    const { descriptor, bytes } = makeManifest(mediaTypes.ociManifest, { config, layers });
    await this.#inTurn(app, () => store.push(descriptor, contentOf(bytes)));
    await this.tag(app, descriptor, keeperOf(blob.digest));
  }

  async remove(app: string, digest: Digest): Promise<void> {
    if (await this.#delete(app, `/manifests/${digest}`)) return;
    const keeper = await this.#keeper(app, digest);
    if (keeper !== null) await this.#delete(app, `/manifests/${keeper}`);
    await this.#delete(app, `/blobs/${digest}`);
  }

  async #keeper(app: string, digest: Digest): Promise<string | null> {
    const { repository } = this.#store(app);
    const headers = { accept: mediaTypes.ociManifest };
    const what = `Cannot look for ${digest}`;
    const path = `/manifests/${keeperOf(digest)}`;
    const response = await repository.send({ method: "HEAD", path, headers, what });
    await discard(response);
    return response.status === 200 ? response.headers.get("docker-content-digest") : null;
  }

  /** Whether it was there and is gone now. */
  async #delete(app: string, path: string): Promise<boolean> {
    const { repository } = this.#store(app);
    const what = `Cannot delete ${path} of ${repository.name}`;
    const response = await repository.send({ method: "DELETE", path, what, retry: false });
    if (!SETTLED.includes(response.status))
      throw await registryError(what, repository.reference.host, response, repository.scope);
    await discard(response);
    return response.ok;
  }

  #store(app: string): RegistryStore {
    const store = this.#stores.get(app) ?? this.#open(app);
    this.#stores.set(app, store);
    return store;
  }

  #open(app: string, source?: string): RegistryStore {
    const reference = parseReference(`${this.name}/${app}`);
    this.#client ??= RegistryClient.open(reference.host, this.#options);
    this.#client.catch(() => {
      this.#client = undefined;
      this.#stores.clear();
    });
    const from = source === undefined ? undefined : parseReference(`${this.name}/${source}`).repository;
    const options = { ...this.#options, push: true, ...(from ? { mountFrom: [from] } : {}) };
    return new RegistryStore(reference, options, this.#client);
  }
}

export interface RegistryHost {
  env: Env;
  login(host: string): Promise<Credentials | undefined>;
  /** Where it is kept what registries were seen to do. */
  state?: string | undefined;
}

export function openRegistry(name: string, { env, login, state }: RegistryHost): RegistryPlace {
  const { host } = parseReference(`${name}/app`);
  return new RegistryPlace(name, { env, state, credentials: () => login(host) });
}

async function persist(work: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (!hasCode(error, "blob-unknown") || tries === TRIES) throw error;
    }
    await Bun.sleep(PAUSE * tries);
  }
}

function keeperOf(digest: Digest): string {
  return `kept-${digestHex(digest).slice(0, 64)}`;
}
