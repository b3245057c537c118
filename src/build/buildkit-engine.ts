import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Bytes, collect } from "../bytes.ts";
import type { SolveRequest } from "../docker-api/buildkit-messages.ts";
import { Buildkitd } from "../docker-api/buildkitd.ts";
import { decodeBytes } from "../docker-api/bytes-message.ts";
import type { Env } from "../docker-api/host.ts";
import type { SessionCall, SessionMethods } from "../docker-api/session.ts";
import { DavitError } from "../errors.ts";
import { isLoopback } from "../hosts.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { ingestDockerSave, putImage } from "../oci/docker-save.ts";
import { GzipPool } from "../oci/gzip-pool.ts";
import { MAX_MANIFEST } from "../oci/manifest.ts";
import type { Store } from "../oci/store.ts";
import { readManifest } from "../oci/walk.ts";
import { Once } from "../once.ts";
import { Root } from "../root.ts";
import { checkJson, Type } from "../schema.ts";
import { removeScratch } from "../scratch.ts";
import { sessionMethods, sessionName } from "./build-session.ts";
import { openContext } from "./context.ts";
import type { BuiltImage, Engine, EngineBuild, ImageTarget } from "./engine.ts";
import { ImageRegistry } from "./image-registry.ts";
import { LoopbackRegistry } from "./loopback-registry.ts";
import { CACHE_NAMESPACE, NOWHERE, tenantHost } from "./tenant.ts";
import { decodeTrace } from "./trace.ts";

/** How long to wait before a buildkitd that did not reach us is tried again, in milliseconds. */
const AGAIN = 60_000;
const FRONTEND = "dockerfile.v0";
const DIGEST = "containerimage.digest";

/** A buildkitd, wherever it is. Images come by a push to us where it can reach us, else as an archive. */
export class BuildkitEngine implements Engine {
  readonly #address: string;
  readonly #env: Env;
  readonly #reaches = new Once<true>();
  /** When it last failed to reach us. */
  #unreached = Number.NEGATIVE_INFINITY;

  constructor(address: string, env: Env) {
    this.#address = address;
    this.#env = env;
  }

  async describe(): Promise<string> {
    await using daemon = await Buildkitd.connect(this.#address, this.#env);
    return `buildkitd ${await daemon.version()}`.trim();
  }

  async build(build: EngineBuild, target: ImageTarget): Promise<BuiltImage> {
    await using daemon = await Buildkitd.connect(this.#address, this.#env);
    const image = (await this.#isReached(daemon, build))
      ? await this.#pushed(daemon, build, target)
      : await this.#archived(daemon, build, target);
    return { image, entrypoint: await entrypointOf(target.store, image) };
  }

  /** A buildkitd keeps no images. */
  async take(): Promise<undefined> {
    return undefined;
  }

  /** Only a buildkitd on this machine could reach our loopback; one in a container has another. */
  async #isReached(daemon: Buildkitd, build: EngineBuild): Promise<boolean> {
    if (this.#env["DAVIT_ENGINE_PUSH"] === "0") return false;
    if (!isHere(this.#address)) return false;
    if (performance.now() - this.#unreached < AGAIN) return false;
    return await this.#reaches
      .get(() => requireReach(daemon, build))
      .catch(() => {
        // A build that was stopped shows nothing about its buildkitd.
        if (!build.signal.aborted) this.#unreached = performance.now();
        return false;
      });
  }

  async #pushed(daemon: Buildkitd, build: EngineBuild, target: ImageTarget): Promise<Descriptor> {
    await using registry = new ImageRegistry(target);
    const { username, password, address } = registry.server;
    const parts: EngineBuild = {
      ...build,
      credentials: async (host) =>
        host === address ? { username, password } : await build.credentials(host),
    };
    const exporter = {
      type: "image",
      attrs: {
        name: `${address}/${target.path}:build`,
        push: "true",
        store: "false",
        "registry.insecure": "true",
        "oci-mediatypes": "true",
      },
    };
    const cache = cacheOf(build, `${address}/${target.path}`);
    const answer = await run(daemon, parts, sessionMethods(parts), { exporter, ...cache }).catch(
      (error: unknown) => {
        throw registry.failure ?? error;
      },
    );
    const image = registry.stored(answer[DIGEST] ?? "");
    if (!image) throw new DavitError("engine", "Cannot store the image: buildkitd did not push it");
    return image;
  }

  async #archived(daemon: Buildkitd, build: EngineBuild, target: ImageTarget): Promise<Descriptor> {
    const received = Promise.withResolvers<Descriptor>();
    received.promise.catch(() => undefined);
    const methods: SessionMethods = {
      ...sessionMethods(build),
      "/moby.filesync.v1.FileSend/DiffCopy": async (call) => {
        const image = ingest(call, target);
        image.then(received.resolve, received.reject);
        await image;
      },
    };
    if (build.platforms.length > 1 || build.attestations.size > 0)
      throw new DavitError(
        "unsupported",
        "Cannot take an image of several manifests from a buildkitd that cannot reach this machine",
        { hint: "build for one platform, without attestations, or run davit where buildkitd runs" },
      );
    if (build.cache) build.onLine("WARNING: BuildCache has no effect: this buildkitd cannot reach the rack");
    await run(daemon, build, methods, {
      exporter: { type: "docker", attrs: { name: "davit-build:latest" } },
    });
    return await received.promise;
  }
}

/** Solves, shows how it goes, and returns what the exporter says. */
async function run(
  daemon: Buildkitd,
  build: EngineBuild,
  methods: SessionMethods,
  more: Pick<SolveRequest, "exporter" | "cacheExports" | "cacheImports">,
): Promise<Record<string, string>> {
  await using session = await daemon.session(sessionName(build), methods);
  const ref = crypto.randomUUID();
  const ended = new AbortController();
  const solving = daemon.solve(
    { ref, session: session.id, frontend: FRONTEND, frontendAttrs: attrsOf(build, more), ...more },
    build.signal,
  );
  const shown = show(daemon.status(ref, AbortSignal.any([build.signal, ended.signal])), build);
  try {
    const answer = await solving;
    await shown;
    return answer;
  } finally {
    ended.abort();
    await shown;
  }
}

/** Old frontends are told of imports by an attribute, and new ones by the request. */
function attrsOf(
  { context, args, target, noCache, platforms, attestations, tenant }: EngineBuild,
  { cacheImports = [] }: Pick<SolveRequest, "cacheImports">,
): Record<string, string> {
  const imports = cacheImports.map(({ type, attrs }) => ({ Type: type, Attrs: attrs }));
  return {
    ...(imports.length > 0 ? { "cache-imports": JSON.stringify(imports) } : {}),
    ...Object.fromEntries([...attestations].map(([kind, how]) => [`attest:${kind}`, how])),
    ...(platforms.length > 0 ? { platform: platforms.join(",") } : {}),
    filename: context.dockerfile,
    ...(target === undefined ? {} : { target }),
    ...(noCache ? { "no-cache": "" } : {}),
    ...Object.fromEntries(Object.entries(args).map(([name, value]) => [`build-arg:${name}`, value])),
    ...(tenant === undefined ? {} : isolation(tenant)),
  };
}

function isolation(tenant: string): Record<string, string> {
  return {
    "image-resolve-mode": "pull",
    [`build-arg:${CACHE_NAMESPACE}`]: tenant,
    "add-hosts": `${tenantHost(tenant)}=${NOWHERE}`,
  };
}

/** With `--no-cache` nothing is read, and what is made is kept all the same. */
function cacheOf(
  { cache, noCache }: EngineBuild,
  repository: string,
): Pick<SolveRequest, "cacheExports" | "cacheImports"> {
  if (cache === undefined) return {};
  const attrs = { ref: `${repository}:${cache}`, "registry.insecure": "true" };
  const more = { mode: "max", "image-manifest": "true", "oci-mediatypes": "true", "ignore-error": "true" };
  return {
    cacheExports: [{ type: "registry", attrs: { ...attrs, ...more } }],
    cacheImports: noCache ? [] : [{ type: "registry", attrs }],
  };
}

/** A status that breaks off says nothing of the build. */
async function show(messages: AsyncIterable<Bytes>, { onTrace }: EngineBuild): Promise<void> {
  try {
    for await (const message of messages) onTrace(decodeTrace(message));
  } catch {
    // The call that solves tells what went wrong.
  }
}

/** Resolves where the buildkitd reaches this machine. Throws where it does not, so that `Once` does not remember it. */
async function requireReach(daemon: Buildkitd, build: EngineBuild): Promise<true> {
  if (await probe(daemon, build)) return true;
  throw new DavitError("unavailable", "the buildkitd does not reach this machine");
}

/** Has the buildkitd ask for an image that only we could have. */
async function probe(daemon: Buildkitd, build: EngineBuild): Promise<boolean> {
  await using registry = new LoopbackRegistry(async () => new Response(null, { status: 404 }));
  const dir = await mkdtemp(join(tmpdir(), "davit-probe-"));
  try {
    return await registry.isReachedBy(async (name) => {
      await writeFile(join(dir, "Dockerfile"), `FROM ${name}\n`);
      const context = await openContext(await Root.open(dir), "Dockerfile");
      const quiet = {
        ...build,
        platforms: [],
        attestations: new Map<string, string>(),
        context,
        args: {},
        target: undefined,
        onLine: () => undefined,
        onTrace: () => undefined,
        onSent: () => undefined,
        onListed: () => undefined,
      };
      await run(daemon, quiet, sessionMethods(quiet), {});
    });
  } finally {
    await removeScratch(dir);
  }
}

async function ingest(call: SessionCall, target: ImageTarget): Promise<Descriptor> {
  using gzip = new GzipPool();
  const [image] = await ingestDockerSave(bytesOf(call), target.store, {
    gzip,
    known: (diffId) => target.layer(diffId),
    stored: (diffId, layer) => target.remember(diffId, layer),
    onBytes: (bytes) => target.onBytes(bytes),
  });
  if (!image) throw new DavitError("engine", "Cannot store the image: buildkitd's archive holds none");
  return await putImage(target.store, target.vet(image.config), image.layers);
}

async function* bytesOf({ messages }: SessionCall): AsyncGenerator<Bytes> {
  for await (const message of messages) yield decodeBytes(message);
}

const Config = Type.Object({
  config: Type.Optional(
    Type.Object({ Entrypoint: Type.Optional(Type.Union([Type.Array(Type.String()), Type.Null()])) }),
  ),
});

/** Of several platforms the first one's. */
async function entrypointOf(store: Store, image: Descriptor): Promise<string[]> {
  const { manifest } = await readManifest(store, image);
  if (manifest.kind === "index") {
    const [first] = manifest.manifests;
    return first ? await entrypointOf(store, first) : [];
  }
  const text = await collect(await store.fetch(manifest.config), MAX_MANIFEST, "the image's config");
  return checkJson(Config, new TextDecoder().decode(text), "the image's config").config?.Entrypoint ?? [];
}

function isHere(address: string): boolean {
  if (address.startsWith("unix:")) return true;
  return /^tcp:/.test(address) && URL.canParse(address) && isLoopback(new URL(address).hostname);
}
