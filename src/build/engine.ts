import type { Bytes } from "../bytes.ts";
import type { Credentials } from "../http/docker-auth.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { Store } from "../oci/store.ts";
import type { Context } from "./context.ts";
import type { Secrets } from "./secrets.ts";
import type { SshAgents } from "./ssh-agents.ts";

/** One image to build. */
export interface EngineBuild {
  context: Context;
  args: Record<string, string>;
  target: string | undefined;
  noCache: boolean;
  signal: AbortSignal;
  /** What steps may mount. */
  secrets: Secrets;
  ssh: SshAgents;
  /** For private base images; undefined is anonymous. */
  credentials(host: string): Promise<Credentials | undefined>;
  /** A line of the builder's output. */
  onLine(text: string): void;
  /** Bytes of the context that went to the engine. */
  onSent(bytes: number): void;
}

/** What turns source into images. They stay with it, under the name `build` gives them, until they are removed. */
export interface Engine {
  /** Its kind and version, for the record. */
  describe(): Promise<string>;
  /** Returns the name by which the engine knows the image. */
  build(build: EngineBuild): Promise<string>;
  entrypoint(image: string): Promise<string[]>;
  /** Moves the image into the store and returns its manifest. */
  store(image: string, target: ImageTarget, signal: AbortSignal): Promise<Descriptor>;
  /** The id of an image the engine has by this name already, if it has one. */
  find(ref: string): Promise<string | undefined>;
  /** Lets go of an image that this build made. */
  remove(image: string): Promise<void>;
}

/** Where an engine's images go: a store, and what the rack remembers of layers that went there before. */
export interface ImageTarget {
  store: Store;
  /** The repository an engine pushes into: the same for the app's whole life, since engines remember digests by it. */
  path: string;
  /** The compressed blob made from a layer earlier, if the store has it. */
  layer(diffId: Digest): Promise<Descriptor | undefined>;
  remember(diffId: Digest, layer: Descriptor): Promise<void>;
  /** A blob the store has, by digest alone. */
  blob(digest: Digest, mediaType: string): Promise<Descriptor | undefined>;
  /** An image's config as it may be stored; throws where it holds what it must not. */
  vet(config: Bytes): Bytes;
  onBytes(bytes: number): void;
  /** Somebody else is at work now, and says nothing of how far it is. */
  onWait(what: string): void;
  /** Something a reader of the build's log may want to know. */
  onNote(text: string): void;
}
