import type { Socket } from "node:net";
import { decodeBytes, encodeBytes } from "../docker-api/bytes-message.ts";
import type { SessionCall, SessionMethods } from "../docker-api/session.ts";
import { DavitError } from "../errors.ts";
import { DEFAULT_AGENT, type SshAgents } from "./ssh-agents.ts";

/*
 * Lends builds the ssh agent of whoever runs them, for `RUN --mount=type=ssh`: keys stay
 * where they are. https://github.com/moby/buildkit/blob/master/session/sshforward/ssh.proto
 */

/** What a session answers about ssh: whether there is an agent, and its words. */
export function sshMethods(agents: SshAgents): SessionMethods {
  if (agents.size === 0) return {};
  return {
    "/moby.sshforward.v1.SSH/CheckAgent": async (call) => {
      for await (const message of call.messages) {
        find(agents, firstText(message));
        return await call.send(new Uint8Array(0));
      }
    },
    "/moby.sshforward.v1.SSH/ForwardAgent": async (call) => {
      const [id = ""] = call.metadata("buildkit.ssh.id");
      await forward(call, find(agents, id));
    },
  };
}

function find(agents: SshAgents, id: string): string {
  const socket = agents.get(id || DEFAULT_AGENT);
  if (socket === undefined)
    throw new DavitError("not-found", `there is no ssh agent ${id || DEFAULT_AGENT}: lend one with --ssh`);
  return socket;
}

async function forward(call: SessionCall, path: string): Promise<void> {
  const socket = (await import("node:net")).connect({ path });
  try {
    await Promise.race([toAgent(call, socket), fromAgent(call, socket)]);
  } finally {
    socket.destroy();
  }
}

async function toAgent(call: SessionCall, socket: Socket): Promise<void> {
  for await (const message of call.messages) socket.write(decodeBytes(message));
}

async function fromAgent(call: SessionCall, socket: Socket): Promise<void> {
  for await (const chunk of socket) {
    const bytes: Uint8Array = chunk;
    await call.send(encodeBytes(bytes));
  }
}

function firstText(message: Uint8Array): string {
  return Buffer.from(decodeBytes(message)).toString("utf8");
}
