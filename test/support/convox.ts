import { mkdir } from "node:fs/promises";
import type { Result, sandbox } from "./davit.ts";
import { peer } from "./peers.ts";
import { serve } from "./server.ts";

export const PASSWORD = "a-rack-password";

/** The real `convox` CLI in a home of its own. */
export function convoxCli(box: ReturnType<typeof sandbox>, more: Record<string, string> = {}) {
  const program = peer("convox");
  const env = () => {
    const { DAVIT_RACK, CONVOX_RACK, RACK_URL, ...rest } = process.env;
    return {
      ...rest,
      HOME: box.join("convox"),
      DOCKER_CONFIG: box.join("convox/docker"),
      TEST: "true",
      ...more,
    };
  };
  const run = async (
    args: string[],
    options: { cwd?: string; stdin?: Blob; env?: Record<string, string> } = {},
  ) => {
    await mkdir(box.join("convox"), { recursive: true });
    const child = Bun.spawn([program, ...args], {
      cwd: options.cwd ?? box.path,
      env: { ...env(), ...options.env },
      stdin: options.stdin ?? "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr } satisfies Result;
  };
  const ok = async (args: string[], options: Parameters<typeof run>[1] = {}): Promise<string> => {
    const { code, stdout, stderr } = await run(args, options);
    if (code !== 0) throw new Error(`convox ${args.join(" ")} exited ${code}: ${stderr}${stdout}`);
    return stdout;
  };
  return { run, ok, env, program };
}

/** A rack on loopback, and its address with its password in it. */
export async function startRack(
  box: ReturnType<typeof sandbox>,
  rack = "local",
  password = PASSWORD,
  more: string[] = [],
  env: Record<string, string> = {},
) {
  if (rack !== "local" && !env["DAVIT_DATABASE_URL"]) await box.run(["racks", "add", rack]);
  const server = await serve(box, ["rack", "start", "-r", rack, "--password-stdin", ...more], {
    stdin: `${password}\n`,
    env,
  });
  const at = (login: string): string => server.url.replace("://", `://${login}@`);
  return { ...server, url: server.url, rackUrl: at(`convox:${encodeURIComponent(password)}`), at };
}
