import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { tempDir } from "./temp.ts";

const ROOT = resolve(import.meta.dir, "../..");
const BINARY = process.env["DAVIT_BINARY"] ?? resolve(ROOT, "dist/davit");

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string | undefined>;
  stdin?: Uint8Array | string | Blob;
}

/** What davit is run as: the compiled binary, which the tests are about. */
export function davitCommand(): string[] {
  if (!existsSync(BINARY)) throw new Error(`there is no ${BINARY}: run scripts/compile first`);
  return [BINARY];
}

/** A home of its own for racks and settings, and the commands run in it. */
export function sandbox() {
  const dir = tempDir();
  const env = (more: RunOptions["env"] = {}) => {
    const { DAVIT_RACK, CONVOX_RACK, ...rest } = process.env;
    return { ...rest, DAVIT_HOME: dir.join("home"), NO_COLOR: "1", ...more };
  };
  const spawn = (args: string[], options: RunOptions = {}) =>
    Bun.spawn([...davitCommand(), ...args], {
      cwd: options.cwd ?? dir.path,
      env: env(options.env),
      stdin:
        options.stdin === undefined
          ? "ignore"
          : options.stdin instanceof Blob
            ? options.stdin
            : new Blob([Buffer.from(options.stdin)]),
      stdout: "pipe",
      stderr: "pipe",
    });
  const run = async (args: string[], options: RunOptions = {}): Promise<Result> => {
    const child = spawn(args, options);
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  };
  /** Runs and expects success. */
  const ok = async (args: string[], options: RunOptions = {}): Promise<string> => {
    const { code, stdout, stderr } = await run(args, options);
    if (code !== 0) throw new Error(`davit ${args.join(" ")} exited ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  const json = async (args: string[], options: RunOptions = {}) =>
    JSON.parse(await ok([...args, "--json"], options));
  return { ...dir, path: dir.path, env, spawn, run, ok, json };
}

/** Runs any program and expects success. */
export async function sh(
  command: string[],
  options: { cwd?: string; env?: Record<string, string | undefined> } = {},
): Promise<string> {
  const child = Bun.spawn(command, { ...options, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command.join(" ")} exited ${code}: ${stderr}${stdout}`);
  return stdout;
}

/** The docker CLI that drives BuildKit by itself, wherever a newer one is on PATH. */
export const DOCKER = existsSync("/usr/bin/docker") ? "/usr/bin/docker" : "docker";
