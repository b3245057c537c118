import { basename } from "node:path";
import type { Engine, EngineWish } from "../build/engine.ts";
import { DavitError } from "../errors.ts";
import type { Rack } from "../rack/rack.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { paintFor } from "../terminal/color.ts";
import { Output } from "../terminal/output.ts";
import { ProgressDisplay, type ProgressMode } from "../terminal/progress.ts";
import type { Context, Input } from "./command.ts";

type Env = Record<string, string | undefined>;

const MODES: readonly string[] = ["auto", "plain", "json", "none"];

/** A command's surroundings in a real process, and what closes them. */
export async function makeContext(
  input: Input,
  env: Env,
  signal: AbortSignal,
): Promise<{ context: Context; close(): Promise<void> }> {
  const output = async (fd: 1 | 2, terminal: boolean): Promise<Output> =>
    new Output(fd, terminal, await paintFor(terminal, env, input.on("no-color")));
  const stdout = await output(1, Boolean(process.stdout.isTTY));
  const stderr = await output(2, Boolean(process.stderr.isTTY));
  const cwd = process.cwd();
  let rack: Promise<Rack> | undefined;
  const rackName = () => findRack(input, env, cwd);
  const context: Context = {
    ...{ env, cwd, stdout, stderr, signal, rackName, exitCode: 0, warn: warner(stderr) },
    progress: new ProgressDisplay(stderr, progressMode(input.text("progress"))),
    now: () => new Date(),
    rack: () => {
      rack ??= rackName().then((name) => openRack(name, env, (text) => stderr.line(text), context.warn));
      return rack;
    },
    appName: (positional) => findApp(positional, input, env, cwd),
  };
  const close = async (): Promise<void> => {
    await (await rack?.catch(() => undefined))?.[Symbol.asyncDispose]();
    context.progress.clear();
    await Promise.all([stdout.flush(), stderr.flush()]);
  };
  return { context, close };
}

/** Writes each warning once: the same one may come from more than one place. */
function warner(stderr: Output): (text: string) => void {
  const said = new Set<string>();
  return (text) => {
    if (said.has(text)) return;
    said.add(text);
    stderr.line(`warning: ${text}`);
  };
}

function progressMode(text: string | undefined): ProgressMode {
  if (text === undefined || text === "auto") return "auto";
  if (text === "plain" || text === "json" || text === "none") return text;
  throw new DavitError("usage", `Cannot show progress as ${JSON.stringify(text)}`, {
    hint: `it is one of ${MODES.join(", ")}`,
  });
}

/** Flag, environment, the project's setting, the user's choice, `local`. */
async function findRack(input: Input, env: Env, cwd: string): Promise<string> {
  const { DIRECT, Home, LOCAL, projectRack } = await import("../rack/home.ts");
  if (env["RACK_URL"]?.trim()) return DIRECT;
  const named = input.text("rack") || env["DAVIT_RACK"] || env["CONVOX_RACK"] || (await projectRack(cwd));
  return named || (await new Home(env).currentRack()) || LOCAL;
}

async function findApp(positional: string | undefined, input: Input, env: Env, cwd: string): Promise<string> {
  const { projectApp } = await import("../rack/home.ts");
  const name = positional || input.text("app") || env["DAVIT_APP"] || (await projectApp(cwd));
  return name || basename(cwd);
}

/** Opens a rack by name; the engine is looked for only when a build needs it. */
export async function openRack(
  name: string,
  env: Env,
  onNote?: (text: string) => void,
  onWarning?: (text: string) => void,
): Promise<Rack> {
  if (await isEmbedded(name, env)) {
    const { EmbeddedRack } = await import("../rack/embedded.ts");
    return await EmbeddedRack.open(name, rackOptions(env, onWarning));
  }
  const { openRemote } = await import("../rack/find-rack.ts");
  return await openRemote(name, rackOptions(env, onWarning), onNote);
}

/** Here are racks in directories, and the one of the database that this machine is told of. */
async function isEmbedded(name: string, env: Env): Promise<boolean> {
  const { Home, LOCAL } = await import("../rack/home.ts");
  if (env["RACK_URL"]?.trim()) return false;
  const home = new Home(env);
  if (name === LOCAL || home.hasRack(name)) return true;
  return Boolean(env["DAVIT_DATABASE_URL"]) && (await home.rackUrl(name)) === undefined;
}

export function rackOptions(env: Env, onWarning?: (text: string) => void) {
  return {
    env,
    ...(onWarning ? { onWarning } : {}),
    runtime: async (rack: { id: string; name: string }): Promise<Runtime> => {
      const [{ SwarmRuntime }, { EngineClient }] = await Promise.all([
        import("../runtime/swarm.ts"),
        import("../docker-api/client.ts"),
      ]);
      const engineAt = (host: string) => EngineClient.fromEnv({ ...env, DOCKER_HOST: host });
      return new SwarmRuntime(await EngineClient.fromEnv(env), rack, engineAt);
    },
    engine: async ({ app, buildkit }: EngineWish): Promise<Engine> => {
      const addresses = buildkit || env["BUILDKIT_HOST"];
      if (addresses) {
        const { BuildkitPool } = await import("../build/buildkit-pool.ts");
        return new BuildkitPool(addresses, app, env);
      }
      const [{ DockerEngine }, { EngineClient }] = await Promise.all([
        import("../build/docker-engine.ts"),
        import("../docker-api/client.ts"),
      ]);
      return new DockerEngine(await EngineClient.fromEnv(env), {
        buildkit: env["DOCKER_BUILDKIT"] !== "0",
        push: env["DAVIT_ENGINE_PUSH"] !== "0",
      });
    },
  };
}
