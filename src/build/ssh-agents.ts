import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { DavitError, systemError } from "../errors.ts";

/** Sockets of ssh agents, by the id that a Dockerfile asks for. */
export type SshAgents = ReadonlyMap<string, string>;

/** What a Dockerfile asks for that names none. */
export const DEFAULT_AGENT = "default";

/** Reads what `--ssh` names, as docker does: `default`, or `ID=SOCKET`. */
export async function readSsh(
  flags: readonly string[],
  env: Record<string, string | undefined>,
  cwd: string,
): Promise<SshAgents> {
  const agents = new Map<string, string>();
  for (const flag of flags) {
    const [id = "", path = env["SSH_AUTH_SOCK"]] = flag.split(/=(.*)/s);
    if (!/^[\w.-]+$/.test(id))
      throw new DavitError(
        "usage",
        `Cannot lend ssh agent ${JSON.stringify(flag.slice(0, 100))}: it is not ID or ID=SOCKET`,
      );
    if (!path)
      throw new DavitError("not-found", `Cannot lend an ssh agent as ${id}: SSH_AUTH_SOCK names none`, {
        hint: "start one with `eval $(ssh-agent)`, and give it keys with `ssh-add`",
      });
    const socket = resolve(cwd, path);
    await requireSocket(id, socket);
    agents.set(id, socket);
  }
  return agents;
}

async function requireSocket(id: string, path: string): Promise<void> {
  const info = await stat(path).catch((error: unknown) => {
    throw systemError(`Cannot lend an ssh agent as ${id}`, error);
  });
  if (!info.isSocket())
    throw new DavitError("invalid", `Cannot lend ${path} as ${id}: it is no agent's socket`, {
      hint: "keys go to an agent with `ssh-add`, and builds get the agent",
    });
}
