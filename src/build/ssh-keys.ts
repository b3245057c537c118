import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { outputOf } from "../child-output.ts";
import { DavitError, systemError } from "../errors.ts";

/**
 * An agent of our own with these keys, for as long as this process lives: it ends with
 * the command it was started for, which ends with our pipe to it, however we do.
 */
export async function startAgent(id: string, keys: readonly string[]): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "davit-ssh-"));
  process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  const socket = join(dir, "agent");
  try {
    const agent = Bun.spawn(["ssh-agent", "-a", socket, "sh", "-c", "echo ready; cat; kill $SSH_AGENT_PID"], {
      ...{ stdin: "pipe", stdout: "pipe", stderr: "ignore" },
    });
    agent.unref();
    await agent.stdout.getReader().read();
    for (const key of keys) await addKey(id, socket, key);
  } catch (error) {
    throw systemError(`Cannot lend ${keys.join(", ")} as ${id}`, error);
  }
  return socket;
}

/** Nobody is asked for a passphrase: a build may run where nobody is. */
async function addKey(id: string, socket: string, key: string): Promise<void> {
  const child = Bun.spawn(["ssh-add", "-q", key], {
    env: { ...process.env, SSH_AUTH_SOCK: socket, SSH_ASKPASS_REQUIRE: "force", SSH_ASKPASS: "/bin/false" },
    ...{ stdin: "ignore", stdout: "ignore", stderr: "pipe" },
  });
  const why = (await outputOf(child.stderr)).trim().split("\n")[0];
  if ((await child.exited) === 0) return;
  throw new DavitError("invalid", `Cannot lend ${key} as ${id}: ${why || "ssh-add does not take it"}`, {
    hint: "a key with a passphrase goes to an agent first, with `ssh-add`; lend that",
  });
}
