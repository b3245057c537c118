import { DavitError, hasCode, reasonOf } from "../errors.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { type ConvoxYml, loadConvoxYml } from "../manifest/convox-yml.ts";
import { copy } from "../oci/copy.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { parseReference } from "../oci/reference.ts";
import type { ReadStore } from "../oci/store.ts";
import { eachOf } from "../oci/walk.ts";
import { shellQuote } from "../shell-words.ts";
import { type Managed, parseBuildArg, resolveArgs } from "./build-args.ts";
import type { BuildLog } from "./build-log.ts";
import { type Context, openContext } from "./context.ts";
import { type ContextSize, LARGE_CONTEXT } from "./context-size.ts";
import { type Dockerfile, developmentStage, parseDockerfile } from "./dockerfile.ts";
import { CACHE, type Engine, type ImageTarget } from "./engine.ts";
import { requireOwnFrontend } from "./frontend.ts";
import { makePlan, type PlannedBuild, type PlannedImage } from "./plan.ts";
import { PlainProgress } from "./progress.ts";
import type { Project } from "./project.ts";
import { looksSecret } from "./redact.ts";
import type { Secrets } from "./secrets.ts";
import type { SshAgents } from "./ssh-agents.ts";
import { type Step, StepRecorder } from "./steps.ts";

export interface PipelineRequest {
  project: Project;
  /** What convox.yml is called. */
  manifest: string;
  development: boolean;
  noCache: boolean;
  buildArgs: string[];
  /** The app's env, of its newest release. */
  env: Record<string, string>;
  managed: Managed;
  secrets: Secrets;
  ssh: SshAgents;
  platforms: readonly string[];
  attestations: ReadonlyMap<string, string>;
  /** Whether the rack keeps the layer cache of each service. */
  buildCache: boolean;
  /** See {@link EngineBuild.tenant}; undefined on a rack of one user, with an engine of theirs. */
  tenant: string | undefined;
}

export interface PipelineHost {
  engine: Engine;
  target: ImageTarget;
  log: BuildLog;
  signal: AbortSignal;
  /** Where the image of an `image:` service comes from. */
  registry(ref: string): Promise<{ store: ReadStore; tag: string }>;
  /** The error to show where such an image could not be fetched. */
  fetchFailure(ref: string, error: unknown): unknown;
  credentials(host: string): Promise<Credentials | undefined>;
  /** Called with the text of convox.yml once it was parsed. */
  onManifest(text: string): Promise<void>;
  onProgress(what: string, bytes: number): void;
  /** These layer caches of the rack are used now. */
  onCaches(tags: readonly string[]): Promise<void>;
}

/** What one Dockerfile became. */
export interface Built {
  services: string[];
  image: Descriptor;
  entrypoint: string;
  context: Context;
  args: Record<string, string>;
  steps: Step[];
}

export interface PipelineResult {
  manifest: string;
  built: Built[];
  images: Map<string, Descriptor>;
  /** The last built service's, as a shell-quoted string. */
  entrypoint: string;
  engine: string;
}

/** How many images are built at once. */
const SIDE_BY_SIDE = 3;

/** Source in a directory → an image in the store for every service. */
export async function runPipeline(request: PipelineRequest, host: PipelineHost): Promise<PipelineResult> {
  const text = await request.project.readManifest();
  const manifest = await loadConvoxYml(text, request.manifest, {
    ...request.env,
    ...plainArgs(request.buildArgs),
  });
  await host.onManifest(text);
  const plan = makePlan(manifest);
  const prepared = await Promise.all(plan.builds.map((build) => prepare(request, build)));
  warnOfArgs(request, prepared, host.log);
  if (request.buildCache) await host.onCaches(plan.builds.map(cacheOf));
  const images = new Map<string, Descriptor>();
  const entrypoints = new Map<string, string>();
  const engine = await host.engine.describe();
  const several = prepared.length > 1;
  const all: Built[] = [];
  await eachOf(prepared, SIDE_BY_SIDE, async (build) => {
    const built = await buildOne(request, build, host, several ? `${build.planned.services[0]}: ` : "");
    all.push(built);
    for (const service of built.services) {
      images.set(service, built.image);
      entrypoints.set(service, built.entrypoint);
    }
  });
  for (const planned of plan.images) {
    const image = await fetchImage(planned, host, request.tenant === undefined);
    for (const service of planned.services) images.set(service, image);
  }
  return { manifest: text, built: all, images, entrypoint: lastEntrypoint(manifest, entrypoints), engine };
}

function cacheOf({ services }: PlannedBuild): string {
  return `${services[0]}${CACHE}`;
}

function plainArgs(buildArgs: string[]): Record<string, string> {
  const args: Record<string, string> = {};
  for (const { name, value } of buildArgs.map(parseBuildArg)) if (value !== undefined) args[name] = value;
  return args;
}

interface Prepared {
  planned: PlannedBuild;
  context: Context;
  file: Dockerfile;
}

/** Finds and reads the Dockerfile and the ignore rules before the engine is asked for anything. */
async function prepare(request: PipelineRequest, planned: PlannedBuild): Promise<Prepared> {
  const { project, tenant } = request;
  const root = await project.root.directory(planned.path).catch((error: unknown) => {
    throw wrongBuild(`Cannot build ${project.root.show(planned.path)}: there is no such directory`, error);
  });
  const text = await root.readText(planned.manifest).catch((error: unknown) => {
    const file = root.show(planned.manifest);
    throw wrongBuild(`Cannot build service ${planned.services[0]}: there is no ${file}`, error);
  });
  const context = await openContext(root, planned.manifest);
  const prepared = { planned, context, file: parseDockerfile(text) };
  if (tenant !== undefined)
    requireOwnFrontend(text, Object.keys(argsOf(request, prepared)), root.show(planned.manifest));
  return prepared;
}

function wrongBuild(absent: string, cause: unknown): DavitError {
  const hint = "see `build:` in convox.yml";
  if (hasCode(cause, "not-found")) return new DavitError("not-found", absent, { cause, hint });
  return new DavitError("invalid", reasonOf(cause), { cause, hint });
}

function argsOf(
  { env, buildArgs, managed }: PipelineRequest,
  { planned, file }: Prepared,
): Record<string, string> {
  return resolveArgs(file.args, env, planned.args, buildArgs, managed);
}

function warnOfArgs(request: PipelineRequest, prepared: Prepared[], log: BuildLog): void {
  const declared = new Set(prepared.flatMap((build) => build.file.args));
  const given = new Set(prepared.flatMap((build) => Object.keys(argsOf(request, build))));
  for (const { name } of request.buildArgs.map(parseBuildArg))
    if (!declared.has(name))
      log.line(`WARNING: build arg ${name} has no effect: no Dockerfile declares ARG ${name}`);
  if (given.has("BUILD_AUTH"))
    log.line(
      "WARNING: BUILD_AUTH as a build arg is seen by every step, and taken out of the image's history; a secret mount of that name is safer",
    );
  for (const name of given)
    if (looksSecret(name) && name !== "BUILD_AUTH")
      log.line(
        `WARNING: build arg ${name} looks like a secret: every step sees it, and it is taken out of the image's history; a secret mount is safer`,
      );
}

async function buildOne(
  request: PipelineRequest,
  prepared: Prepared,
  host: PipelineHost,
  prefix: string,
): Promise<Built> {
  const { planned, context, file } = prepared;
  host.log.line(`Building: ${planned.path}`);
  const args = argsOf(request, prepared);
  const [plain, recorder] = [new PlainProgress((text) => host.log.line(prefix + text)), new StepRecorder()];
  const { image, entrypoint } = await host.engine.build(
    {
      ...{ context, args },
      target: request.development ? developmentStage(file) : undefined,
      noCache: request.noCache,
      secrets: request.secrets,
      ssh: request.ssh,
      platforms: request.platforms,
      attestations: request.attestations,
      tenant: request.tenant,
      cache: request.buildCache ? cacheOf(planned) : undefined,
      signal: host.signal,
      credentials: (registry) => host.credentials(registry),
      onLine: (text) => host.log.line(prefix + text),
      onTrace: (trace) => {
        plain.show(trace);
        recorder.show(trace);
      },
      onSent: (bytes) => host.onProgress(`Sending ${planned.path}`, bytes),
      onListed: (size) => sayLarge(size, host.log),
    },
    host.target,
  );
  for (const service of planned.services) host.log.line(`Stored: ${service} ${image.digest}`);
  const steps = recorder.steps();
  return {
    services: planned.services,
    image,
    entrypoint: entrypoint.map(shellQuote).join(" "),
    context,
    args,
    steps,
  };
}

/** What makes a context large is most often there by mistake. */
function sayLarge(size: ContextSize, log: BuildLog): void {
  if (size.total <= LARGE_CONTEXT) return;
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
  log.line(`The context has ${size.files} files, ${megabytes(size.total)}; the largest, for .dockerignore:`);
  for (const { path, size: bytes } of size.largest(5))
    log.line(`  ${megabytes(bytes)} ${path} (${((100 * bytes) / size.total).toFixed(0)} %)`);
}

/** An `image:` service: from its registry with its digest kept, else what the user's own engine has by that name. */
async function fetchImage(
  planned: PlannedImage,
  host: PipelineHost,
  ownEngine: boolean,
): Promise<Descriptor> {
  host.log.line(`Copying: ${planned.image}`);
  const image = await fromRegistry(planned.image, host).catch(async (error: unknown) => {
    if (!ownEngine || hasCode(error, "interrupted", "no-space", "invalid")) throw error;
    const local = await host.engine.take(parseReference(planned.image), host.target, host.signal);
    if (local === undefined) throw error;
    host.log.line(
      `WARNING: ${planned.image} comes from the engine, so its digest is not its registry's (${reasonOf(error)})`,
    );
    return local;
  });
  for (const service of planned.services) host.log.line(`Stored: ${service} ${image.digest}`);
  return image;
}

async function fromRegistry(ref: string, host: PipelineHost): Promise<Descriptor> {
  try {
    const { store, tag } = await host.registry(ref);
    return await copy(store, await store.resolve(tag), host.target.store);
  } catch (error) {
    throw host.fetchFailure(ref, error);
  }
}

function lastEntrypoint(manifest: ConvoxYml, entrypoints: Map<string, string>): string {
  return (
    manifest.services.map((service) => entrypoints.get(service.name) ?? "").findLast((text) => text !== "") ??
    ""
  );
}
