import { buildImage } from "../docker-api/build.ts";
import type { EngineClient } from "../docker-api/client.ts";
import { EngineImages } from "../docker-api/images.ts";
import type { EngineLine } from "../docker-api/messages.ts";
import type { EngineSession } from "../docker-api/session.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { LineSplitter } from "../lines.ts";
import type { Descriptor } from "../oci/descriptor.ts";
import { fullName, type Reference } from "../oci/reference.ts";
import { check, Type } from "../schema.ts";
import { contextTar } from "./context.ts";
import type { BuiltImage, Engine, EngineBuild, ImageTarget } from "./engine.ts";
import { EngineImageMover } from "./engine-image.ts";
import { BUILDS, ownTag, sweepTags } from "./engine-tags.ts";
import { CACHE_NAMESPACE, NOWHERE, tenantHost } from "./tenant.ts";
import { decodeTrace } from "./trace.ts";

const ImageId = Type.Object({ ID: Type.String() });
const VersionInfo = Type.Object({
  Version: Type.String(),
  Components: Type.Optional(Type.Array(Type.Object({ Name: Type.String() }))),
});

/** The Docker Engine, or podman's socket that answers like one. BuildKit where it has it, else the classic builder. */
export class DockerEngine implements Engine {
  readonly #client: EngineClient;
  readonly #images: EngineImages;
  readonly #push: boolean;
  #builder: "1" | "2";
  #mover: EngineImageMover | undefined;
  #swept: Promise<void> | undefined;
  #hasSessions = true;

  /** `buildkit: false` asks for the classic builder, `push: false` for every image to be streamed. */
  constructor(client: EngineClient, { buildkit = true, push = true } = {}) {
    this.#client = client;
    this.#push = push;
    this.#images = new EngineImages(client);
    this.#builder = buildkit ? "2" : "1";
  }

  async describe(): Promise<string> {
    const { Version, Components } = await this.#client.json(VersionInfo, "GET", "/version");
    const podman = Components?.some((component) => component.Name.includes("Podman"));
    return `${podman ? "podman" : "docker"} ${Version}`;
  }

  async build(build: EngineBuild, target: ImageTarget): Promise<BuiltImage> {
    this.#swept ??= sweepTags(this.#images, Date.now()).catch(() => undefined);
    const built = await this.#buildSomehow(build);
    try {
      const { Config } = await this.#images.inspect(built);
      return {
        image: await this.#store(built, target, build.signal),
        entrypoint: Config?.Entrypoint ?? [],
      };
    } finally {
      await this.#remove(built).catch((error: unknown) => build.onLine(`WARNING: ${reasonOf(error)}`));
    }
  }

  async #buildSomehow(build: EngineBuild): Promise<string> {
    try {
      return await this.#build(build);
    } catch (error) {
      if (this.#builder === "1" || !isNoBuildKit(error)) throw error;
      build.onLine("This engine has no BuildKit; using its classic builder");
      this.#builder = "1";
      return await this.#build(build);
    }
  }

  async #build(build: EngineBuild): Promise<string> {
    await using session = await this.#session(build);
    const asked = [...build.secrets.keys()].filter((id) => id !== "BUILD_AUTH");
    if (!session && asked.length + build.ssh.size > 0)
      throw new DavitError(
        "unsupported",
        "Cannot give this builder secrets or an ssh agent: it opens no sessions",
        {
          hint: "use an engine with BuildKit, or a buildkitd: set BUILDKIT_HOST",
        },
      );
    const [platform, ...others] = build.platforms;
    if (others.length > 0)
      throw new DavitError(
        "unsupported",
        "Cannot build for several platforms: the Docker Engine makes one image at a time",
        {
          hint: "use a buildkitd: set BUILDKIT_HOST, or the rack parameter BuildkitHost",
        },
      );
    if (build.attestations.size > 0)
      throw new DavitError("unsupported", "Cannot make attestations: the Docker Engine makes none", {
        hint: "use a buildkitd: set BUILDKIT_HOST, or the rack parameter BuildkitHost",
      });
    if (build.cache)
      build.onLine(
        "WARNING: BuildCache has no effect: the Docker Engine keeps its cache to itself; a buildkitd shares it",
      );
    const output = new BuildOutput(build);
    const tag = this.#builder === "2" ? `${BUILDS}:${ownTag()}` : undefined;
    // Only BuildKit has cache mounts, and other builders warn of a build arg that no Dockerfile declares.
    const isolated = build.tenant !== undefined && session ? { [CACHE_NAMESPACE]: build.tenant } : {};
    const lines = buildImage(this.#client, session ? undefined : contextTar(build.context, build.onSent), {
      tag,
      session: session?.id,
      dockerfile: build.context.dockerfile,
      args: { ...build.args, ...isolated },
      target: build.target,
      pull: build.tenant !== undefined,
      host: build.tenant === undefined ? undefined : `${tenantHost(build.tenant)}:${NOWHERE}`,
      platform,
      noCache: build.noCache,
      version: this.#builder,
      signal: build.signal,
    });
    try {
      for await (const line of lines) output.show(line);
    } catch (error) {
      if (build.signal.aborted) throw new DavitError("interrupted", "Interrupted", { cause: error });
      throw error;
    }
    const id = output.imageId();
    return tag ?? id;
  }

  /** With a session BuildKit takes just the files that changed; podman and the classic builder get a tar. */
  async #session(build: EngineBuild): Promise<EngineSession | undefined> {
    if (this.#builder === "1" || !this.#hasSessions) return undefined;
    try {
      const { openBuildSession } = await import("./build-session.ts");
      return await openBuildSession(this.#client, build);
    } catch (error) {
      if (!hasCode(error, "unsupported")) throw error;
      this.#hasSessions = false;
      return undefined;
    }
  }

  /** A push tags the image for a moment, and with its only tag a classic builder's cache would go: those are streamed. */
  async #store(image: string, target: ImageTarget, signal: AbortSignal): Promise<Descriptor> {
    this.#mover ??= new EngineImageMover(this.#client, this.#push && this.#builder === "2");
    return await this.#mover.move(image, target, signal);
  }

  /** An engine reads a bare name as the beginning of an image's id, too; never one in full. */
  async take(ref: Reference, target: ImageTarget, signal: AbortSignal): Promise<Descriptor | undefined> {
    const found = await this.#images.find(fullName(ref));
    return found && (await this.#store(found.Id, target, signal));
  }

  /**
   * Takes our own tag away, and with it the image, unless somebody else has named
   * it too: by its id we could take theirs. The classic builder's images have no
   * tag of ours and stay: they are its cache.
   */
  async #remove(image: string): Promise<void> {
    if (image.startsWith(`${BUILDS}:`)) await this.#images.remove(image);
  }
}

function isNoBuildKit(error: unknown): boolean {
  const why = reasonOf(error).toLowerCase();
  return (
    hasCode(error, "engine", "build-failed") &&
    (/buildkit (is )?not (supported|enabled)/.test(why) ||
      (why.includes("version") && why.includes("not supported")))
  );
}

/** The name an image has for a moment is nothing to keep in a log. */
const OWN_TAG = /^Successfully tagged (localhost\/)?davit-build:/;

/** Turns either builder's answer into lines, and finds the image's id in it. */
class BuildOutput {
  readonly #build: Pick<EngineBuild, "onLine" | "onTrace">;
  readonly #lines = new LineSplitter();
  #id: string | undefined;

  constructor(build: Pick<EngineBuild, "onLine" | "onTrace">) {
    this.#build = build;
  }

  show(line: EngineLine): void {
    if (line.id === "moby.buildkit.trace" && typeof line.aux === "string") {
      this.#build.onTrace(decodeTrace(Buffer.from(line.aux, "base64")));
      return;
    }
    if (line.aux !== undefined) this.#id = check(ImageId, line.aux, "the engine's image id", "engine").ID;
    if (line.stream !== undefined) this.#stream(line.stream);
    else if (line.status !== undefined)
      this.#build.onLine(line.id ? `${line.id}: ${line.status}` : line.status);
  }

  #stream(text: string): void {
    for (const part of this.#lines.push(text)) {
      const id =
        /^([0-9a-f]{64})$/.exec(part.trim()) ?? /^Successfully built ([0-9a-f]{12,64})$/.exec(part.trim());
      if (id?.[1]) this.#id ??= id[1];
      if (part.trim() !== "" && !OWN_TAG.test(part)) this.#build.onLine(part);
    }
  }

  /** A build without an id did not end well, whatever the stream said. */
  imageId(): string {
    if (this.#id === undefined)
      throw new DavitError("engine", "Cannot build: the engine's answer ended without an image", {
        hint: "see whether the engine is still running",
      });
    return this.#id;
  }
}
