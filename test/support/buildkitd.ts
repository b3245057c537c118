import { mkdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { peer } from "./peers.ts";

export interface Buildkit extends AsyncDisposable {
  address: string;
  /** Ends it and begins again with nothing in its cache. */
  forget(): Promise<void>;
}

/** Starts a buildkitd with a root of its own. */
export async function startBuildkit(flags: string[] = [], address?: string): Promise<Buildkit> {
  const program = peer("buildkitd");
  // Overlay mounts want short paths.
  const dir = `/tmp/davit-bk-${crypto.randomUUID().slice(0, 8)}`;
  const at = address ?? `unix://${dir}/sock`;
  let runs = 0;
  const start = async () => {
    await mkdir(dir, { recursive: true });
    const args = ["--root", `${dir}/root${++runs}`, "--addr", at, ...flags];
    const child = Bun.spawn([program, ...args], { stdout: "ignore", stderr: Bun.file(`${dir}/log`) });
    for (let tries = 0; tries < 300; tries++) {
      if (await answers(at)) return child;
      if (child.exitCode !== null)
        throw new Error(`buildkitd did not start: ${await Bun.file(`${dir}/log`).text()}`);
      await Bun.sleep(50);
    }
    throw new Error("buildkitd does not answer");
  };
  let child = await start();
  const end = async (): Promise<void> => {
    child.kill();
    await child.exited;
  };
  return {
    address: at,
    forget: async () => {
      await end();
      child = await start();
    },
    [Symbol.asyncDispose]: async () => {
      await end();
      await rm(dir, { recursive: true, force: true }).catch(() => undefined);
    },
  };
}

async function answers(address: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const [, host = "", port = ""] = /^tcp:\/\/([^:]+):(\d+)$/.exec(address) ?? [];
  const socket =
    host === "" ? connect({ path: address.slice("unix://".length) }) : connect({ host, port: Number(port) });
  socket.on("connect", () => resolve(true));
  socket.on("error", () => resolve(false));
  const there = await promise;
  socket.destroy();
  return there;
}
