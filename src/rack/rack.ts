import type { Secrets } from "../build/secrets.ts";
import type { SshAgents } from "../build/ssh-agents.ts";
import { BuildStep } from "../bundle/record.ts";
import type { ByteStream } from "../bytes.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import type { ReadStore } from "../oci/store.ts";
import { type Static, Type } from "../schema.ts";
import type { Event } from "./event-ledger.ts";
import type { Process, Running } from "./running.ts";
import type { RegistryLogin } from "./settings.ts";

/** How the wire writes "not yet". */
export const ZERO_TIME = "0001-01-01T00:00:00Z";

export const App = Type.Object({
  name: Type.String(),
  generation: Type.String(),
  locked: Type.Boolean(),
  /** The active release, or "". */
  release: Type.String(),
  router: Type.String(),
  status: Type.String(),
  parameters: Type.Record(Type.String(), Type.String()),
  /** Why the last promotion failed, of an app that is asked for by itself. Not part of the Convox API. */
  problem: Type.Optional(Type.String()),
});
export type App = Static<typeof App>;

/** A deleted app that may have left data: volumes, and the passwords of its resources. */
export const FormerApp = Type.Object({
  id: Type.String(),
  name: Type.String(),
  /** RFC 3339; "" where nobody knows. */
  deleted: Type.String(),
});
export type FormerApp = Static<typeof FormerApp>;

export const BuildStatus = Type.Union([
  Type.Literal("created"),
  Type.Literal("running"),
  Type.Literal("complete"),
  Type.Literal("failed"),
]);

export const Build = Type.Object({
  id: Type.String(),
  app: Type.String(),
  description: Type.String(),
  /** The last built service's entrypoint, as a shell-quoted string. */
  entrypoint: Type.String(),
  "git-sha": Type.String(),
  logs: Type.String(),
  /** The text of convox.yml. */
  manifest: Type.String(),
  process: Type.String(),
  release: Type.String(),
  reason: Type.String(),
  repository: Type.String(),
  status: BuildStatus,
  started: Type.String(),
  ended: Type.String(),
  "wildcard-domain": Type.Boolean(),
  /** Content id: the digest of the build's index. Not part of the Convox API. */
  digest: Type.Optional(Type.String()),
  /** The registry that holds it, as `HOST/PREFIX`; left out where the rack itself does. Not part of the Convox API. */
  store: Type.Optional(Type.String()),
  /** What the engine did, of a build that is asked for by itself. Not part of the Convox API. */
  steps: Type.Optional(Type.Array(BuildStep)),
  /** Manifest digest of each service's image. Not part of the Convox API. */
  images: Type.Optional(Type.Record(Type.String(), Type.String())),
});
export type Build = Static<typeof Build>;

export const Release = Type.Object({
  id: Type.String(),
  app: Type.String(),
  build: Type.String(),
  /** `KEY=VALUE` lines. */
  env: Type.String(),
  manifest: Type.String(),
  description: Type.String(),
  created: Type.String(),
});
export type Release = Static<typeof Release>;

export const System = Type.Object({
  name: Type.String(),
  provider: Type.String(),
  status: Type.String(),
  version: Type.String(),
  domain: Type.String(),
  region: Type.String(),
  count: Type.Integer(),
  parameters: Type.Record(Type.String(), Type.String()),
  outputs: Type.Record(Type.String(), Type.String()),
});
export type System = Static<typeof System>;

export interface TokenRequest {
  role: "read" | "write" | "admin";
  hours: number;
  /** For these apps' builds and releases only. */
  apps?: readonly string[];
  /** Who it is for, in the audit log. */
  name?: string;
}

/** A token that is good. Times are RFC 3339. */
export const TokenInfo = Type.Object({
  id: Type.String(),
  /** Who it is for; "" where nobody said. */
  name: Type.String(),
  role: Type.Union([
    Type.Literal("read"),
    Type.Literal("write"),
    Type.Literal("admin"),
    Type.Literal("deploy"),
  ]),
  /** A deploy key's apps; empty for tokens of the whole rack. */
  apps: Type.Array(Type.String()),
  /** Who made it. */
  maker: Type.String(),
  created: Type.String(),
  expires: Type.String(),
  /** Its last use, to the minute; "" for none. */
  used: Type.String(),
});
export type TokenInfo = Static<typeof TokenInfo>;

export interface ImageRelay {
  image: string;
  credentials?: { username: string; password: string } | undefined;
  /** The text of convox.yml: every service without an image of its own gets this one. */
  manifest: string;
  description?: string;
  signal?: AbortSignal;
  /** What is being done now. */
  onStep?(what: string): void;
}

export interface AppUpdate {
  locked?: boolean | undefined;
  parameters?: Record<string, string> | undefined;
}

export interface BuildOptions {
  /** The project's directory; "" where the project is fetched. */
  dir: string;
  /** Where the project is fetched from: git's or a `.tgz`'s address. */
  url?: string;
  /** A deploy key asked for it: what it names is fetched within its reach. */
  byKey?: boolean;
  /** Path of convox.yml below `dir`. */
  manifest: string;
  description?: string;
  gitSha?: string;
  development: boolean;
  noCache: boolean;
  wildcardDomain: boolean;
  /** `K=V`, or the bare name of a managed argument. */
  buildArgs: string[];
  /** What steps may mount by id: `RUN --mount=type=secret`, `type=ssh`. */
  secrets?: Secrets;
  ssh?: SshAgents;
  /** `provenance` and `sbom`, with what buildkitd is told of them: `mode=max`, `generator=IMAGE`. */
  attestations?: ReadonlyMap<string, string>;
  /** Such as `linux/arm64`; the app's BuildArch when left out. */
  platforms?: readonly string[];
  /** Here, whatever kind of rack it is for: no source leaves this machine, images go straight to the rack's registry. */
  external?: boolean;
}

export interface BuildEvents {
  /** The build's row exists; its log starts. */
  started?(build: Build): void;
  /** Bytes of the log, just as they are stored. */
  log?(text: string): void;
  progress?(progress: Progress): void;
}

/** Work that takes long: `done` of `total` bytes, where the total is known; 0 of nothing known is waiting. */
export interface Progress {
  what: string;
  done: number;
  total?: number;
}

export interface ImportOptions {
  /** The same key again returns the first import's build. */
  idempotencyKey?: string;
  /** Bytes of the archive, where known; for progress only. */
  size?: number;
  /** Content ids: the archive must hold just these. */
  expect?: readonly string[];
  signal?: AbortSignal;
  onWarning?(text: string): void;
  onProgress?(progress: Progress): void;
}

export interface NewRelease {
  build?: string;
  description?: string;
  /** Replaces the parent's env. */
  env?: string;
  /** Where build and env are inherited from; the newest release when left out. */
  parent?: string;
}

export interface PromoteOptions {
  signal?: AbortSignal;
  /** How many run while it goes on, in percent, instead of what services say. */
  minimum?: number | undefined;
  maximum?: number | undefined;
  /** How long services may take to get well, in milliseconds. */
  timeout?: number | undefined;
  /** A process of the release has another state now. */
  onState?(process: Process): void;
}

export interface ExportOptions {
  /** Another build that the reader has: its blobs are left out. */
  since?: string;
  /** Digests that the reader has, as `blobs` lists them. */
  have?: readonly string[];
  /** What a Convox v3 rack imports, in place of a bundle. */
  format?: "bundle" | "convox";
}

/** An export on its way. */
export interface Bundle {
  /** Bytes of the whole archive, where they are known before the first. */
  size: number | undefined;
  /** Bytes of blobs that are left out, for the reader has them. */
  omitted: number;
  stream: ByteStream;
}

/** A build's content, to be read by other stores. */
export interface BuildSource {
  store: ReadStore;
  id: string;
  index: Descriptor;
  /** By service name. */
  images: Map<string, Descriptor>;
}

/** Where apps, builds and releases live. Commands know nothing else; they cannot tell the kinds apart. */
export interface Rack extends AsyncDisposable {
  readonly name: string;
  system(): Promise<System>;

  apps(): Promise<App[]>;
  app(name: string): Promise<App>;
  /** `former` is the id of a deleted app: what data it has left is the new app's. */
  createApp(name: string, generation?: string, former?: string): Promise<App>;
  /** Deleted apps that may have left data, the latest first. */
  formerApps(): Promise<FormerApp[]>;
  deleteApp(name: string): Promise<void>;
  updateApp(name: string, update: AppUpdate): Promise<void>;

  /** Newest first. */
  builds(app: string, limit?: number): Promise<Build[]>;
  build(app: string, id: string): Promise<Build>;
  deleteBuild(app: string, id: string): Promise<void>;
  /** The stored log; of a build that still runs, what there is and what comes until it ends. */
  buildLog(app: string, id: string): Promise<ByteStream>;
  runBuild(app: string, options: BuildOptions, events: BuildEvents, signal: AbortSignal): Promise<Build>;
  exportBuilds(app: string, ids: readonly string[], options?: ExportOptions): Promise<Bundle>;
  /** Hands a build's content to `work`, safe from the collector until it is done. */
  readBuild<T>(app: string, id: string, work: (source: BuildSource) => Promise<T>): Promise<T>;
  /** Takes a build, or an image, out of another store: only what is missing moves. */
  importFrom(app: string, source: ReadStore, root: Descriptor, options: ImportOptions): Promise<Build>;
  /** Digests of every blob the app holds, sorted: what an export need not carry. */
  blobs(app: string): Promise<string[]>;
  /** Every build of an archive, all of them or none. */
  importBuilds(app: string, archive: ByteStream, options: ImportOptions): Promise<Build[]>;

  /** Newest first. */
  releases(app: string, limit?: number): Promise<Release[]>;
  release(app: string, id: string): Promise<Release>;
  createRelease(app: string, release: NewRelease): Promise<Release>;
  /** Makes a release the app's active one: what runs, where the rack runs releases. */
  promote(app: string, id: string, options?: PromoteOptions): Promise<void>;

  /** Has a promotion that is on its way go back. */
  cancel(app: string): Promise<void>;
  /** What runs, where the rack runs its releases. */
  readonly running: Running;

  /** Logins that pulls inside builds use, by server. */
  registries(): Promise<RegistryLogin[]>;
  addRegistry(login: RegistryLogin): Promise<void>;
  removeRegistry(server: string): Promise<void>;
  /** Changes some of the parameters that `system` lists; an empty value goes back to the default. */
  setParams(changes: Record<string, string>): Promise<void>;
  /** Waits until content is where the parameters say: it moves when `Registry` changes. */
  settle(options: { signal: AbortSignal; onProgress?: (progress: Progress) => void }): Promise<void>;
  /** Newest first. */
  events(limit?: number): Promise<Event[]>;
  /** A password for others, of fewer rights and for some time. */
  createToken(wanted: TokenRequest): Promise<string>;
  /** Those that are good, newest first. Tokens of davits that kept none on record are not among them. */
  tokens(): Promise<TokenInfo[]>;
  /** Refuses a token from the next request on, and those that were made with it. */
  revokeToken(id: string): Promise<void>;
  /** Refuses the tokens of davits that kept none on record. */
  revokeOlderTokens(): Promise<void>;
  /** Makes a build of an image that is in a registry already. */
  relayImage(app: string, relay: ImageRelay): Promise<Build>;
}
