import type { Bytes } from "../bytes.ts";
import type { Credentials } from "../http/docker-auth.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { Digest } from "../oci/digest.ts";
import type { Reference } from "../oci/reference.ts";
import type { Store } from "../oci/store.ts";
import type { Context } from "./context.ts";
import type { ContextSize } from "./context-size.ts";
import type { Secrets } from "./secrets.ts";
import type { SshAgents } from "./ssh-agents.ts";
import type { Trace } from "./trace.ts";

/** What the tags of layer caches end in. */
export const CACHE = ".buildcache";

/** One image to build. */
export interface EngineBuild {
  context: Context;
  args: Record<string, string>;
  target: string | undefined;
  noCache: boolean;
  /** Attestations to be made, `provenance` and `sbom`, and what their makers are told. */
  attestations: ReadonlyMap<string, string>;
  /** Such as `linux/arm64`; none is the engine's own. */
  platforms: readonly string[];
  /**
   * Set where strangers share the engine: a secret word of the app, the same for the app's whole
   * life. Cache mounts and results of steps are kept apart by it, and images come from registries,
   * never from the engine by name.
   */
  tenant: string | undefined;
  /** The tag under which the rack keeps what these steps made, for engines that have lost it. */
  cache: string | undefined;
  signal: AbortSignal;
  /** What steps may mount. */
  secrets: Secrets;
  ssh: SshAgents;
  /** For private base images; undefined is anonymous. */
  credentials(host: string): Promise<Credentials | undefined>;
  /** A line of the builder's output. */
  onLine(text: string): void;
  /** What BuildKit says of its steps; other builders have lines only. */
  onTrace(trace: Trace): void;
  /** Bytes of the context that went to the engine. */
  onSent(bytes: number): void;
  /** The context, once the engine was told of all of it; single files are told of by themselves. */
  onListed(size: ContextSize): void;
}

/** An image that is in the store now. */
export interface BuiltImage {
  /** Its manifest, or the index of its platforms. */
  image: Descriptor;
  entrypoint: string[];
}

/** Which engine is asked for. */
export interface EngineWish {
  app: string;
  /** Addresses of buildkitds, joined with commas; "" is whatever the machine has. */
  buildkit: string;
}

/** What turns source into images. */
export interface Engine {
  /** Its kind and version, for the record. */
  describe(): Promise<string>;
  /** Builds an image and moves it into the store; the engine keeps nothing of it but its cache. */
  build(build: EngineBuild, target: ImageTarget): Promise<BuiltImage>;
  /** Stores an image that the engine has by this name already; undefined where it has none. For an engine that only its user shares. */
  take(ref: Reference, target: ImageTarget, signal: AbortSignal): Promise<Descriptor | undefined>;
}

/** Where an engine's images go: one app's store, and what is remembered of layers that went there before. */
export interface ImageTarget {
  store: Store;
  /** The repository an engine pushes into: the same for the app's whole life, since engines remember digests by it. */
  path: string;
  /** A blob of the app's own that holds this layer. */
  layer(diffId: Digest): Promise<Descriptor | undefined>;
  /** Records which layer a blob holds. The caller has hashed the uncompressed bytes itself. */
  remember(diffId: Digest, layer: Descriptor): Promise<void>;
  /** A blob that the app has already, by digest alone. */
  blob(digest: Digest, mediaType: string): Promise<Descriptor | undefined>;
  /** An image's config as it may be stored; throws where it holds what it must not. */
  vet(config: Bytes): Bytes;
  /** The same of something attested of the image. */
  vetStatement(statement: Bytes): void;
  onBytes(bytes: number): void;
  /** Somebody else is at work now, and says nothing of how far it is. */
  onWait(what: string): void;
  /** Something a reader of the build's log may want to know. */
  onNote(text: string): void;
}
