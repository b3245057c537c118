import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { DavitError, systemError } from "../errors.ts";
import { startAgent } from "./ssh-keys.ts";

/** Sockets of ssh agents, by the id that a Dockerfile asks for. */
export type SshAgents = ReadonlyMap<string, string>;

/** What a Dockerfile asks for that names none. */
export const DEFAULT_AGENT = "default";

/** Reads what `--ssh` names, as docker does: `default`, `ID=SOCKET`, or `ID=KEY[,KEY...]`. */
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
        `Cannot lend ssh agent ${JSON.stringify(flag.slice(0, 100))}: it is not ID, ID=SOCKET or ID=KEY`,
      );
    if (!path)
      throw new DavitError("not-found", `Cannot lend an ssh agent as ${id}: SSH_AUTH_SOCK names none`, {
        hint: "start one with `eval $(ssh-agent)`, and give it keys with `ssh-add`",
      });
    const paths = path.split(",").map((one) => resolve(cwd, one));
    const socket = (await isSocket(id, paths)) ? (paths[0] ?? "") : await startAgent(id, paths);
    agents.set(id, socket);
  }
  return agents;
}

/** One socket, or key files. */
async function isSocket(id: string, paths: readonly string[]): Promise<boolean> {
  const infos = await Promise.all(
    paths.map((path) =>
      stat(path).catch((error: unknown) => {
        throw systemError(`Cannot lend an ssh agent as ${id}`, error);
      }),
    ),
  );
  if (infos.length === 1 && infos[0]?.isSocket()) return true;
  const other = paths.find((_, at) => !infos[at]?.isFile());
  if (other === undefined) return false;
  throw new DavitError("invalid", `Cannot lend ${other} as ${id}: it is neither an agent's socket nor a key`);
}
