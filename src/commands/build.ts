import { resolve } from "node:path";
import { DavitError } from "../errors.ts";
import type { Build, BuildOptions, Progress } from "../rack/rack.ts";
import type { Command, Context, Flag, Input } from "./command.ts";
import { ensureApp } from "./ensure-app.ts";
import { json, step } from "./show.ts";

export const buildFlags: Record<string, Flag> = {
  "build-args": {
    type: "strings",
    summary: "build arg NAME=VALUE, or the bare name of a managed one; may be repeated",
  },
  description: {
    type: "string",
    short: "d",
    summary: "what this build is; else the last git commit, in a clean tree",
  },
  development: { type: "boolean", summary: "build the Dockerfile's `development` stage, where there is one" },
  "explain-ignore": {
    type: "string",
    summary: "build nothing: say which ignore rule keeps this path or drops it, in each service's context",
  },
  external: { type: "boolean", summary: "build here, and push the images straight to the rack's registry" },
  id: { type: "boolean", summary: "print only the release id; the rest goes to stderr" },
  manifest: { type: "string", short: "m", summary: "path of convox.yml in the project" },
  "no-cache": { type: "boolean", summary: "run every step anew" },
  secret: {
    type: "strings",
    summary: "a secret that steps may mount: id=ID,src=PATH or id=ID,env=NAME; may be repeated",
  },
  platform: { type: "strings", summary: "such as linux/arm64; several make one image for all of them" },
  provenance: {
    type: "string",
    summary: "attest how images were made: `mode=min` or `mode=max`; with a buildkitd",
  },
  sbom: { type: "string", summary: "attest what is in images: `generator=IMAGE`; with a buildkitd" },
  ssh: {
    type: "strings",
    summary: "an ssh agent that steps may mount: `default`, ID=SOCKET, or ID=KEY with a key's file",
  },
  "wildcard-domain": { type: "boolean", summary: "note that the app serves a wildcard domain" },
};

export const build: Command = {
  name: "build",
  args: "[source]",
  summary: "build a project's services, and make a release of them",
  flags: buildFlags,
  examples: [
    "davit build",
    "davit build https://git.example.com/shop.git#main -a shop",
    "davit build ./shop -a shop --build-args VERSION=1.10",
    "davit build --id",
  ],
  async run(input, context) {
    const path = input.text("explain-ignore");
    if (path !== undefined) return await explain(path, input, context);
    const built = await runBuild(input, context);
    if (input.on("id")) context.stdout.print(built.release);
    else if (input.on("json")) json(context, built);
    else context.stdout.print(`Build:   ${built.id}\nRelease: ${built.release}\n`);
  },
};

/** For each directory that services are built from. */
async function explain(path: string, input: Input, context: Context): Promise<void> {
  const [{ explainProject }, { relative }] = await Promise.all([
    import("../build/explain-ignore.ts"),
    import("node:path"),
  ]);
  const dir = resolve(context.cwd, input.args[0] ?? ".");
  const found = await explainProject(dir, input.text("manifest") ?? "convox.yml", resolve(context.cwd, path));
  if (input.on("json")) return json(context, found);
  for (const { context: root, path: inside, exists, kept, rule } of found) {
    const why = rule ? `${rule.file}:${rule.line}: ${rule.text}` : "no rule matches";
    const place = relative(dir, root) || ".";
    context.stdout.line(
      `${place}: ${inside} is ${kept ? "kept" : "dropped"} (${why})${exists ? "" : "; there is no such file now"}`,
    );
  }
}

/** Builds and shows the log; the log is data, unless the caller wants stdout for an id or JSON. */
export async function runBuild(input: Input, context: Context): Promise<Build> {
  const out = input.on("id") || input.on("json") ? context.stderr : context.stdout;
  const app = await context.appName();
  const options = await sourceOptions(input, context, out);
  const rack = await context.rack();
  await ensureApp(rack, app, context);
  const { buildDisplay } = await import("../terminal/build-display.ts");
  const display = buildDisplay(out, context.stderr, context.progress);
  display.start();
  const started = (): void => display.started();
  const log = (text: string): void => display.log(text);
  const progress = (done: Progress): void => display.progress(done);
  try {
    return await rack.runBuild(app, options, { started, log, progress }, context.signal);
  } finally {
    display.end();
  }
}

/** Written as buildx takes them; each says something of how, for a generator is nothing to guess. */
function attestationsOf(input: Input): Map<string, string> {
  const attestations = new Map<string, string>();
  for (const [kind, like] of [
    ["provenance", /^mode=(min|max)(,[\w-]+=[^,]+)*$/],
    ["sbom", /^generator=[^,]+(,[\w-]+=[^,]+)*$/],
  ] as const) {
    const how = input.text(kind);
    if (how === undefined) continue;
    if (!like.test(how))
      throw new DavitError("usage", `Cannot attest ${kind} with ${JSON.stringify(how)}: see --help`);
    attestations.set(kind, how);
  }
  return attestations;
}

function checkPlatform(platform: string): void {
  if (!/^[a-z0-9]+\/[a-z0-9]+(\/[a-z0-9.]+)?$/.test(platform))
    throw new DavitError("usage", `Cannot build for ${JSON.stringify(platform)}: it is not like linux/arm64`);
}

/** An address is fetched where the build runs; there is nothing to pack. */
async function sourceOptions(input: Input, context: Context, out: Context["stdout"]): Promise<BuildOptions> {
  const manifest = input.text("manifest") ?? "convox.yml";
  const place = input.args[0] ?? ".";
  const { parseSourceUrl } = await import("../build/source-url.ts");
  if (parseSourceUrl(place)) return { ...(await common(input, context)), dir: "", url: place, manifest };
  const dir = resolve(context.cwd, place);
  return await step(out, "Packaging source", () => inspect(input, context, dir, manifest));
}

/** What can be known to be wrong before anything is started. */
async function inspect(input: Input, context: Context, dir: string, manifest: string): Promise<BuildOptions> {
  const [{ Project }, { describeCommit, headCommit }] = await Promise.all([
    import("../build/project.ts"),
    import("../build/git.ts"),
  ]);
  const rest = await common(input, context);
  await (await Project.openOwn(dir, manifest)).readManifest();
  const description = rest.description ?? (await describeCommit(context.cwd));
  const gitSha = await headCommit(dir);
  return {
    ...{ ...rest, dir, manifest },
    ...(description === undefined ? {} : { description }),
    ...(gitSha === undefined ? {} : { gitSha }),
  };
}

/** What flags say, whatever is built. */
async function common(input: Input, context: Context): Promise<Omit<BuildOptions, "dir" | "manifest">> {
  const [{ parseBuildArg }, { readSecrets }, { readSsh }] = await Promise.all([
    import("../build/build-args.ts"),
    import("../build/secrets.ts"),
    import("../build/ssh-agents.ts"),
  ]);
  const platforms = input.texts("platform").flatMap((text) => text.split(","));
  platforms.forEach(checkPlatform);
  const buildArgs = input.texts("build-args");
  buildArgs.forEach(parseBuildArg);
  const description = input.text("description");
  return {
    buildArgs,
    ...(description === undefined ? {} : { description }),
    development: input.on("development"),
    noCache: input.on("no-cache"),
    wildcardDomain: input.on("wildcard-domain"),
    secrets: await readSecrets(input.texts("secret"), context.env, context.cwd),
    ...(platforms.length > 0 ? { platforms } : {}),
    attestations: attestationsOf(input),
    ssh: await readSsh(input.texts("ssh"), context.env, context.cwd),
    external: input.on("external"),
  };
}
