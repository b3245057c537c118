import { EmbeddedRack } from "../../src/rack/embedded.ts";
import type { Rack } from "../../src/rack/rack.ts";
import { parseRackUrl } from "../../src/rack/rack-client.ts";
import { RemoteRack } from "../../src/rack/remote.ts";
import { serveRack } from "../../src/server/rack-server.ts";
import { tempDir } from "./temp.ts";

/** An embedded rack in a directory that goes with it; its engine is never asked for. */
export async function tempRack(
  name = "local",
  env: Record<string, string> = {},
): Promise<EmbeddedRack & { home: string; dir: string }> {
  const dir = tempDir();
  const options = {
    env: { DAVIT_HOME: dir.path, ...env },
    engine: async () => {
      throw new Error("this rack has no engine");
    },
  };
  const rack =
    name === "local" ? await EmbeddedRack.open(name, options) : await EmbeddedRack.create(name, options);
  const close = rack[Symbol.asyncDispose].bind(rack);
  return Object.assign(rack, {
    home: dir.path,
    dir: dir.join(`racks/${name}`),
    [Symbol.asyncDispose]: async () => {
      await close();
      dir[Symbol.dispose]();
    },
  });
}

/** A rack behind its own server, as a client sees it. */
export async function tempRemoteRack(): Promise<Rack & { dir: string }> {
  const dir = tempDir();
  const env = { DAVIT_HOME: dir.path };
  const open = () =>
    EmbeddedRack.open("local", { env, engine: () => Promise.reject(new Error("no engine here")) });
  const rack = await open();
  const server = await serveRack({
    ...{
      rack,
      dir: dir.join("racks/local"),
      address: { hostname: "127.0.0.1", port: 0 },
      password: "p@ss/word",
    },
    limits: { running: 2, waiting: 10 },
  });
  const address = parseRackUrl("remote", server.url.replace("://", "://davit:p%40ss%2Fword@"));
  const remote = new RemoteRack(address, {
    env,
    state: dir.path,
    local: open,
    engine: () => Promise.reject(new Error("no engine here")),
  });
  const close = async () => {
    await server[Symbol.asyncDispose]();
    await rack[Symbol.asyncDispose]();
    dir[Symbol.dispose]();
  };
  return Object.assign(remote, { dir: dir.join("racks/local"), [Symbol.asyncDispose]: close });
}
