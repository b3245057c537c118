import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BuildLog } from "../build/build-log.ts";
import type { ImageTarget } from "../build/engine.ts";
import { type PipelineResult, runPipeline } from "../build/pipeline.ts";
import { Project } from "../build/project.ts";
import { tenantOf } from "../build/tenant.ts";
import { BUILD_LOG, type BuildStep, putBuild } from "../bundle/record.ts";
import { encode } from "../bytes.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import type { Reach } from "../http/reach.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { removeScratch } from "../scratch.ts";
import { expireCaches, touchCaches } from "./build-cache.ts";
import { managedArgs, mountedSecrets, pipelineHost, protect } from "./build-host.ts";
import type { EmbeddedParts } from "./embedded-parts.ts";
import type { Env } from "./home.ts";
import { newId } from "./ids.ts";
import { keyReach } from "./key-reach.ts";
import type { Build, BuildEvents, BuildOptions } from "./rack.ts";
import type { RackStore } from "./rack-store.ts";
import { type BuildRow, buildOf } from "./rows.ts";

/** Between signs of life in the build's row, in milliseconds. */
const HEARTBEAT = 10_000;

/** Runs a build of a directory in this process. */
export async function runEmbeddedBuild(
  parts: EmbeddedParts,
  app: string,
  options: BuildOptions,
  events: BuildEvents,
  signal: AbortSignal,
): Promise<Build> {
  const row = await parts.ledger.builds.start({
    id: newId("B", parts.random),
    app,
    description: options.description ?? "",
    gitSha: options.gitSha ?? "",
    wildcardDomain: options.wildcardDomain,
  });
  events.started?.(buildOf(row));
  if (options.url === undefined) return await carryOut(parts, row, () => here(options), events, signal);
  const root = await mkdtemp(join(tmpdir(), "davit-source-"));
  try {
    return await carryOut(parts, row, () => fetched(parts, root, options, signal), events, signal);
  } finally {
    await removeScratch(root);
  }
}

/** What is built, once its source is here. */
export type Sourced<T = Omit<BuildOptions, "dir">> = T & { project: Project; gitSha?: string };

/** The user's own project, in a directory of this machine. */
export async function here(options: BuildOptions): Promise<Sourced> {
  return { ...options, project: await Project.openOwn(options.dir, options.manifest) };
}

/** The project of an address, in a directory. */
export async function fetched<T extends Pick<BuildOptions, "url" | "manifest">>(
  { env, reach }: { env: Env; reach?: Reach | undefined },
  root: string,
  options: T,
  signal: AbortSignal,
): Promise<Sourced<T>> {
  const [{ fetchSource }, { parseSourceUrl }] = await Promise.all([
    import("../build/fetch-source.ts"),
    import("../build/source-url.ts"),
  ]);
  const source = parseSourceUrl(options.url ?? "");
  if (!source) throw new DavitError("invalid", "unknown source type");
  const { dir, ...found } = await fetchSource(source, root, { env, signal, reach });
  return { ...options, ...found, project: await Project.open(dir, options.manifest) };
}

/**
 * Carries out a build whose row is there: its log, its images and its release.
 * `source` brings what is built. Any failure marks the build
 * failed, with the reason. `served`: for a client of the rack's server, so that what
 * the engine has of others is kept from it.
 */
export async function carryOut(
  parts: EmbeddedParts,
  { id, app }: BuildRow,
  source: () => Promise<Sourced>,
  events: BuildEvents,
  signal: AbortSignal,
  served = false,
): Promise<Build> {
  const { builds } = parts.ledger;
  const log = new BuildLog(
    (text) => builds.logs.append(id, text),
    (text) => events.log?.(text),
  );
  const heartbeat = setInterval(() => void builds.renew([id]).catch(() => undefined), HEARTBEAT);
  try {
    await parts.store(app).lease(async (store) => {
      const options = await source();
      if (options.gitSha !== undefined) await builds.note(app, id, { gitSha: options.gitSha });
      const tenant = served ? await tenantIn(parts, app) : undefined;
      const result = await pipeline(parts, store, app, id, { ...options, tenant }, log, events, signal);
      signal.throwIfAborted();
      const steps = await explained(parts, app, id, options, result, log);
      await complete(parts, store, app, id, { ...result, steps }, log);
    });
    await parts.after.attempt("Cannot drop layer caches that nobody uses", () => expireCaches(parts));
    return buildOf(await builds.find(app, id));
  } catch (error) {
    const failure = signal.aborted ? endOf(signal, error) : error;
    await fail(parts, app, id, failure, log);
    throw hasCode(failure, "interrupted") ? failure : buildFailed({ id, app }, failure, log);
  } finally {
    clearInterval(heartbeat);
  }
}

/** Why a build was ended before it was done. */
function endOf({ reason }: AbortSignal, cause: unknown): DavitError {
  return reason instanceof DavitError ? reason : new DavitError("interrupted", "Interrupted", { cause });
}

async function pipeline(
  parts: EmbeddedParts,
  store: RackStore,
  app: string,
  id: string,
  options: Sourced & { tenant: string | undefined },
  log: BuildLog,
  events: BuildEvents,
  signal: AbortSignal,
): Promise<PipelineResult> {
  const env = await parts.releases.currentEnv(app);
  const logins = {
    buildAuth: await parts.logins.buildAuth(app),
    // Those of others reach no build of this app: to mask them would confirm a guess.
    passwords: (await parts.logins.ofApp(app)).map(({ password }) => password),
  };
  const known = protect(log, env, options, logins);
  const managed = managedArgs({ app, id, rack: parts.name, buildAuth: logins.buildAuth }, options);
  const { parameters, generation } = await parts.ledger.apps.find(app);
  const buildkit = parameters["BuildkitHost"] || (await parts.settings.param("BuildkitHost"));
  const host = pipelineHost({
    ...{ env: parts.env, log, events, signal, known },
    engine: await parts.engine({ app, buildkit }),
    credentials: (registry) => parts.logins.forApp(app, registry, signal),
    target: imageTarget(parts, store, app),
    ...(options.byKey ? { reach: await keyReach(parts, app) } : {}),
    onManifest: (text) => parts.ledger.builds.setManifest(id, text),
    onCaches: (tags) => touchCaches(parts, app, tags),
  });
  const { BuildArch } = parameters;
  const { ssh = new Map(), platforms = BuildArch ? [`linux/${BuildArch}`] : [] } = options;
  const { attestations = new Map() } = options;
  const buildCache = generation !== "1" && (await usesCache(parts, options));
  const secrets = mountedSecrets(options, logins);
  return await runPipeline(
    { ...options, env, managed, ssh, secrets, platforms, attestations, buildCache },
    host,
  );
}

async function tenantIn({ settings, ledger }: EmbeddedParts, app: string): Promise<string> {
  return tenantOf(await settings.secret("tenants"), await ledger.apps.id(app));
}

/** With `--no-cache` the original's buildx writes a cache that it does not read, and its Kaniko leaves it alone. */
async function usesCache(
  { settings }: EmbeddedParts,
  { noCache }: Pick<BuildOptions, "noCache">,
): Promise<boolean> {
  if ((await settings.param("BuildCache")) !== "Yes") return false;
  return !noCache || (await settings.param("BuildMethod")) !== "fargate";
}

/** What a builder only names counts as present where the app has it already; what another app has is sent and hashed again. */
function imageTarget(
  parts: EmbeddedParts,
  store: RackStore,
  app: string,
): Omit<ImageTarget, "onBytes" | "onWait" | "onNote" | "vet" | "vetStatement"> {
  const { content, registry } = parts.ledger;
  const present = async (blob: Descriptor): Promise<boolean> => (await store.exists(blob)) === "yes";
  return {
    ...{ store, path: `${parts.id}/${app}` },
    layer: async (diffId) => {
      for (const blob of await content.layers(diffId)) if (await present(blob)) return blob;
      return undefined;
    },
    remember: (diffId, layer) => content.rememberLayer(diffId, layer),
    blob: async (digest, mediaType) => {
      const size = await registry.blob(app, digest);
      const blob = size === undefined ? undefined : { mediaType, digest, size };
      return blob && (await present(blob)) ? blob : undefined;
    },
  };
}

async function explained(
  parts: EmbeddedParts,
  app: string,
  id: string,
  { noCache }: Pick<BuildOptions, "noCache">,
  { built }: PipelineResult,
  log: BuildLog,
): Promise<BuildStep[]> {
  const { explainSteps } = await import("./step-notes.ts");
  const redact = (text: string): string => log.redactor.redact(text);
  const dir = parts.notes(await parts.ledger.apps.id(app));
  const options = { dir, build: id, noCache, redact };
  return (await Promise.all(built.map((one) => explainSteps(one, options)))).flat();
}

async function complete(
  parts: EmbeddedParts,
  store: RackStore,
  app: string,
  id: string,
  result: PipelineResult & { steps: BuildStep[] },
  log: BuildLog,
): Promise<void> {
  const row = await parts.ledger.builds.find(app, id);
  const ended = parts.now().toISOString();
  const logDescriptor = await storeLog(parts, store, id, log);
  const { entrypoint, engine, manifest, images, steps } = result;
  const record = {
    ...{ id, app, description: row.description, "git-sha": row.git_sha, entrypoint },
    ...{ "wildcard-domain": row.wildcard_domain === 1, started: row.started, ended, engine },
    ...(steps.length > 0 ? { steps } : {}),
  };
  const index = await putBuild(store, record, manifest, logDescriptor, images);
  await store.nameBuild(id, index, images);
  const tags = [...images].map(([service, descriptor]) => ({ name: `${service}.${id}`, descriptor }));
  await parts.releases.inherit(app, manifest, row.description, (release) =>
    parts.ledger.builds.finish({
      id,
      app,
      index,
      log: logDescriptor,
      tags,
      entrypoint,
      engine,
      ended,
      release,
    }),
  );
}

/** The log as a blob: its chunks one after the other. */
async function storeLog(
  parts: EmbeddedParts,
  store: RackStore,
  id: string,
  log: BuildLog,
): Promise<Descriptor> {
  await log.flush();
  const writer = await store.writer();
  let seq = 0;
  for (;;) {
    const chunks = await parts.ledger.builds.logs.chunks(id, seq);
    if (chunks.length === 0) return await writer.commit(BUILD_LOG);
    for (const chunk of chunks) {
      seq = chunk.seq;
      await writer.write(encode(chunk.bytes));
    }
  }
}

/** Even when the disk is too full for the log, the row says that the build failed. */
async function fail(
  parts: EmbeddedParts,
  app: string,
  id: string,
  error: unknown,
  log: BuildLog,
): Promise<void> {
  const reason = log.redactor.redact(reasonOf(error));
  log.line(`ERROR: ${reason}`);
  const store = parts.store(app);
  await store
    .lease(async (leased) => {
      const stored = await storeLog(parts, leased, id, log).catch(() => undefined);
      if (stored) await leased.keep(stored);
      await parts.ledger.builds.fail(id, reason, stored);
    })
    .catch(() => parts.ledger.builds.fail(id, reason))
    .catch(() => undefined);
}

function buildFailed({ id, app }: Pick<Build, "id" | "app">, error: unknown, log: BuildLog): DavitError {
  const ours = error instanceof DavitError;
  const hint =
    ours && error.hint !== undefined ? error.hint : `the whole log: \`davit builds logs ${id} -a ${app}\``;
  return new DavitError(
    ours ? error.code : "build-failed",
    `build failed: ${log.redactor.redact(reasonOf(error))}`,
    { cause: error, hint },
  );
}
