import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BuildLog } from "../build/build-log.ts";
import type { Engine, EngineWish, ImageTarget } from "../build/engine.ts";
import { type Built, runPipeline } from "../build/pipeline.ts";
import { encode, streamOf } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { registryCredentials } from "../http/credentials.ts";
import { parseReference } from "../oci/reference.ts";
import { RegistryStore } from "../oci/registry-store.ts";
import { Type } from "../schema.ts";
import { removeScratch } from "../scratch.ts";
import { managedArgs, mountedSecrets, pipelineHost, protect } from "./build-host.ts";
import type { EmbeddedRack } from "./embedded.ts";
import { fetched, here, type Sourced } from "./embedded-build.ts";
import { parseEnv } from "./env-text.ts";
import type { Build, BuildEvents, BuildOptions } from "./rack.ts";
import { buildForm } from "./remote-build.ts";
import type { RemoteParts } from "./remote-content.ts";
import { buildOf, list, releaseOf, systemOf, WireBuild, WireRelease, WireSystem } from "./remote-wire.ts";

export interface ExternalParts extends RemoteParts {
  engine(wish: EngineWish): Promise<Engine>;
  local(): Promise<EmbeddedRack>;
  isDavit: boolean;
}

/**
 * Builds here for a rack elsewhere: the rack is told of a build and gives a place in
 * a registry with a login for it; convox.yml and the log go to the rack, images
 * straight to the registry.
 */
export async function runExternalBuild(
  parts: ExternalParts,
  app: string,
  options: BuildOptions,
  events: BuildEvents,
  signal: AbortSignal,
): Promise<Build> {
  const { client } = parts;
  const form = { external: "true", url: "", ...buildForm(options) };
  const path = `/apps/${app}/builds`;
  const created = buildOf(await client.json(WireBuild, "POST", path, { form, signal }), app);
  events.started?.(created);
  const text: string[] = [];
  const log = new BuildLog(
    async (chunk) => void text.push(chunk),
    (line) => events.log?.(line),
  );
  const root = options.url === undefined ? undefined : await mkdtemp(join(tmpdir(), "davit-source-"));
  const external = new ExternalBuild(parts, app, created, options, { log, events, signal });
  try {
    return await external.run(root, text);
  } catch (error) {
    const failure = signal.aborted ? new DavitError("interrupted", "Interrupted", { cause: error }) : error;
    await external.fail(failure, text);
    throw failure;
  } finally {
    if (root !== undefined) await removeScratch(root);
  }
}

class ExternalBuild {
  readonly #parts: ExternalParts;
  readonly #app: string;
  readonly #build: Build;
  readonly #options: BuildOptions;
  readonly #run: { log: BuildLog; events: BuildEvents; signal: AbortSignal };
  readonly #path: string;

  constructor(
    parts: ExternalParts,
    app: string,
    build: Build,
    options: BuildOptions,
    run: { log: BuildLog; events: BuildEvents; signal: AbortSignal },
  ) {
    this.#parts = parts;
    this.#app = app;
    this.#build = build;
    this.#options = options;
    this.#run = run;
    this.#path = `/apps/${app}/builds/${build.id}`;
  }

  /** `root` is an empty directory for a project that is fetched from an address. */
  async run(root: string | undefined, text: string[]): Promise<Build> {
    const { client } = this.#parts;
    const { log, signal } = this.#run;
    const { manifest, images, entrypoint, built } = await this.#pipeline(await this.#source(root));
    const repository = this.#repository();
    for (const [service, image] of images) {
      await repository.tag(image, `${service}.${this.#build.id}`);
      log.line(`Pushed: ${repository.repository.name}:${service}.${this.#build.id}`);
    }
    const logs = await this.#sendLog(text);
    const ended = goTime(new Date());
    await client.done("PUT", this.#path, { form: { manifest, entrypoint, logs, ended }, signal });
    return await this.#finish(await this.#steps(built));
  }

  /** What was cached and why not, for a davit: the original has no place for it. */
  async #steps(built: readonly Built[]): Promise<Record<string, string>> {
    const { client, isDavit, state } = this.#parts;
    if (!isDavit) return {};
    const { explainSteps } = await import("./step-notes.ts");
    const rack = client.address.url.host.replaceAll(":", "_");
    const redact = (text: string): string => this.#run.log.redactor.redact(text);
    const { noCache } = this.#options;
    const options = { dir: join(state, "notes", rack, this.#app), build: this.#build.id, noCache, redact };
    const steps = (await Promise.all(built.map((one) => explainSteps(one, options)))).flat();
    return steps.length === 0 ? {} : { steps: JSON.stringify(steps) };
  }

  /** A davit refuses a build that is not whole, and then there must be no release of it. The original wants the release first. */
  async #finish(steps: Record<string, string>): Promise<Build> {
    const { client, isDavit } = this.#parts;
    const { signal } = this.#run;
    const update = (form: Record<string, string>) =>
      client.json(WireBuild, "PUT", this.#path, { form, signal });
    if (isDavit) await update({ status: "complete", ...steps });
    const wanted = { build: this.#build.id, description: this.#options.description };
    const releases = `/apps/${this.#app}/releases`;
    const made = await client.json(WireRelease, "POST", releases, { form: wanted, signal });
    const release = releaseOf(made, this.#app).id;
    const built = await update({ release, ...(isDavit ? {} : { status: "complete" }) });
    // The build is complete, whether or not that is noted.
    await this.#event("", { release_id: release }).catch(() => undefined);
    return buildOf(built, this.#app);
  }

  /** The rack hears of it, even where the link or the user ended it. */
  async fail(error: unknown, text: string[]): Promise<void> {
    const { log } = this.#run;
    log.line(`ERROR: ${reasonOf(error)}`);
    const logs = await this.#sendLog(text).catch(() => undefined);
    const form = { ended: goTime(new Date()), logs, status: "failed" };
    await this.#parts.client.done("PUT", this.#path, { form }).catch(() => undefined);
    await this.#event(log.redactor.redact(reasonOf(error)), {}).catch(() => undefined);
  }

  async #source(root: string | undefined): Promise<Sourced> {
    if (root === undefined) return await here(this.#options);
    return await fetched(this.#parts, root, this.#options, this.#run.signal);
  }

  async #pipeline(options: Sourced) {
    const { client, env, local, engine } = this.#parts;
    const { log, events, signal } = this.#run;
    const { name } = systemOf(
      await client.json(WireSystem, "GET", "/system", { signal }),
      client.address.name,
    );
    const query = { limit: "1" };
    const [newest] =
      (await client.json(list(WireRelease), "GET", `/apps/${this.#app}/releases`, { query, signal })) ?? [];
    const appEnv = parseEnv(newest?.env ?? "");
    const logins = { buildAuth: "{}", passwords: [] };
    const known = protect(log, appEnv, options, logins);
    const managed = managedArgs(
      { app: this.#app, id: this.#build.id, rack: name, buildAuth: logins.buildAuth },
      options,
    );
    await using memory = await local();
    const host = pipelineHost({
      ...{ env, log, events, signal, known },
      engine: await engine({ app: this.#app, buildkit: "" }),
      credentials: (registry) => registryCredentials(registry, { env, signal }),
      target: this.#target(memory),
      onManifest: (manifest) => client.done("PUT", this.#path, { form: { manifest }, signal }),
    });
    const { ssh = new Map(), platforms = [], attestations = new Map() } = options;
    const secrets = mountedSecrets(options, logins);
    return await runPipeline(
      {
        ...options,
        env: appEnv,
        managed,
        ssh,
        secrets,
        platforms,
        attestations,
        ...{ buildCache: false, tenant: undefined },
      },
      host,
    );
  }

  /** A layer that was compressed before, and that the registry has, is neither compressed nor sent again. */
  #target(memory: EmbeddedRack): Omit<ImageTarget, "onBytes" | "onWait" | "onNote" | "vet" | "vetStatement"> {
    const store = this.#repository();
    return {
      store,
      path: `${store.repository.name.replace(/^[^/]+\//, "")}/external`,
      layer: async (diffId) => {
        for (const blob of await memory.layers(diffId)) if ((await store.exists(blob)) === "yes") return blob;
        return undefined;
      },
      remember: (diffId, layer) => memory.rememberLayer(diffId, layer),
      blob: async () => undefined,
    };
  }

  #store: RegistryStore | undefined;

  /** The place the rack named, with its login: `https://USER:PASSWORD@HOST/PATH`. */
  #repository(): RegistryStore {
    if (this.#store) return this.#store;
    const { repository } = this.#build;
    const url = URL.canParse(repository) ? new URL(repository) : undefined;
    if (!url || url.password === "")
      throw new DavitError(
        "rack",
        `Cannot build for rack ${this.#parts.client.address.name}: it names no registry`,
      );
    const { env, state } = this.#parts;
    const credentials = {
      username: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
    };
    this.#run.log.redactor.add(credentials.password);
    const reference = parseReference(`${url.host}${url.pathname}`);
    const own =
      url.host === this.#parts.client.address.url.host ? this.#parts.client.address.trust : undefined;
    const { signal } = this.#run;
    this.#store = new RegistryStore(reference, { env, state, credentials, signal, trust: own, push: true });
    return this.#store;
  }

  async #sendLog(text: string[]): Promise<string> {
    await this.#run.log.flush();
    const bytes = encode(text.join(""));
    const path = `/apps/${this.#app}/objects/build/${this.#build.id}/logs`;
    return (await this.#parts.client.json(Uploaded, "POST", path, { stream: () => streamOf(bytes) })).Url;
  }

  async #event(error: string, more: Record<string, string>): Promise<void> {
    const data = new URLSearchParams({ app: this.#app, id: this.#build.id, ...more }).toString();
    const form = { action: "build:create", data, error: error || undefined };
    await this.#parts.client.done("POST", "/events", { form });
  }
}

const Uploaded = Type.Object({ Url: Type.String() });

/** `YYYYMMDD.HHMMSS.nnnnnnnnn`, as the original writes times. */
function goTime(date: Date): string {
  const [, day = "", time = "", fraction = ""] = /^([\d-]+)T([\d:]+)\.(\d+)Z$/.exec(date.toISOString()) ?? [];
  return `${day.replaceAll("-", "")}.${time.replaceAll(":", "")}.${fraction.padEnd(9, "0")}`;
}
