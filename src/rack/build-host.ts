import { type Managed, parseBuildArg } from "../build/build-args.ts";
import type { BuildLog } from "../build/build-log.ts";
import type { Engine, ImageTarget } from "../build/engine.ts";
import { KnownSecrets } from "../build/known-secrets.ts";
import type { PipelineHost } from "../build/pipeline.ts";
import { looksSecret } from "../build/redact.ts";
import type { Secrets } from "../build/secrets.ts";
import { parseSourceUrl } from "../build/source-url.ts";
import { decode, encode } from "../bytes.ts";
import type { Credentials } from "../http/docker-auth.ts";
import { parseReference } from "../oci/reference.ts";
import type { Env } from "./home.ts";
import { type KeyReach, withheld } from "./key-reach.ts";
import type { BuildEvents, BuildOptions } from "./rack.ts";

export interface HostParts {
  env: Env;
  engine: Engine;
  credentials(host: string): Promise<Credentials | undefined>;
  /** Where the images go. */
  target: Omit<ImageTarget, "onBytes" | "onWait" | "onNote" | "vet" | "vetStatement">;
  /** What the images must not hold. */
  known: KnownSecrets;
  log: BuildLog;
  events: BuildEvents;
  signal: AbortSignal;
  /** Where the build's images come from; undefined is anywhere. */
  reach?: KeyReach;
  onManifest(text: string): Promise<void>;
  onCaches?(tags: readonly string[]): Promise<void>;
}

/** What a build's pipeline meets of the rack it runs for: registries, an engine, a place for images, and listeners. */
export function pipelineHost({
  env,
  credentials,
  target,
  known,
  log,
  events,
  signal,
  reach,
  ...rest
}: HostParts): PipelineHost {
  const sent = new Map<string, number>();
  const onProgress = (what: string, bytes: number): void => {
    sent.set(what, (sent.get(what) ?? 0) + bytes);
    events.progress?.({ what, done: sent.get(what) ?? 0 });
  };
  return {
    onCaches: async () => undefined,
    ...rest,
    ...{ log, signal, credentials, onProgress },
    target: {
      ...target,
      vet: (config) => known.vet(config),
      vetStatement: (statement) => known.vetStatement(statement),
      onBytes: (bytes) => onProgress("Storing", bytes),
      onWait: (what) => events.progress?.({ what, done: 0 }),
      onNote: (text) => log.line(text),
    },
    fetchFailure: (ref, error) => (reach ? withheld(ref, error) : error),
    registry: async (ref) => {
      const { RegistryStore } = await import("../oci/registry-store.ts");
      const reference = parseReference(ref);
      reach?.requireOwn(reference);
      const options = { env, signal, reach, credentials: await credentials(reference.host) };
      return {
        store: new RegistryStore(reference, options),
        tag: reference.digest ?? reference.tag ?? "latest",
      };
    },
  };
}

/**
 * Collects what must not be printed, nor get into an image: secrets, logins, and env and build
 * args that look like secrets.
 */
export function protect(
  log: BuildLog,
  env: Record<string, string>,
  { buildArgs, url = "", secrets = new Map() }: Pick<BuildOptions, "buildArgs" | "secrets" | "url">,
  { buildAuth, passwords }: BuildLogins,
): KnownSecrets {
  const known = new KnownSecrets();
  known.scrub("BUILD_AUTH", buildAuth);
  const given = Object.entries(env);
  for (const { name, value } of buildArgs.map(parseBuildArg)) given.push([name, value ?? ""]);
  for (const [name, value] of given) {
    log.redactor.addGuessed(name, value);
    if (looksSecret(name)) known.scrub(name, value);
  }
  // What a client sent to the rack itself has no login in it.
  const source = /^(object|tree):/.test(url) ? undefined : parseSourceUrl(url);
  log.redactor.add(source?.password ?? "");
  for (const password of passwords) {
    log.redactor.add(password);
    known.forbid("BUILD_AUTH", password);
  }
  for (const [id, value] of secrets) {
    const text = decode(value);
    if (!log.redactor.add(text)) log.line(`WARNING: secret ${id} is too short to be masked in logs`);
    known.forbid(id, text);
  }
  return known;
}

/** Logins of registries, as a build is told of them. */
export interface BuildLogins {
  /** The value of BUILD_AUTH. */
  buildAuth: string;
  passwords: readonly string[];
}

/** BUILD_AUTH can be mounted too, and then no step sees it that does not ask. */
export function mountedSecrets(
  { secrets = new Map() }: Pick<BuildOptions, "secrets">,
  { buildAuth }: BuildLogins,
): Secrets {
  return new Map([["BUILD_AUTH", encode(buildAuth)], ...secrets]);
}

/** The build args that a build may ask for by their bare names. */
export function managedArgs(
  { app, id, rack, buildAuth }: { app: string; id: string; rack: string; buildAuth: string },
  { development, gitSha = "", manifest }: Pick<BuildOptions, "development" | "gitSha" | "manifest">,
): Managed {
  return {
    BUILD_APP: app,
    BUILD_AUTH: buildAuth,
    BUILD_DEVELOPMENT: String(development),
    BUILD_GENERATION: "2",
    BUILD_GIT_SHA: gitSha,
    BUILD_ID: id,
    BUILD_MANIFEST: manifest,
    BUILD_RACK: rack,
  };
}
