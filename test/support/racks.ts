import { EmbeddedRack } from "../../src/rack/embedded.ts";
import { tempDir } from "./temp.ts";

/** An embedded rack in a directory that goes with it; its engine is never asked for. */
export async function tempRack(name = "local"): Promise<EmbeddedRack & { home: string }> {
  const dir = tempDir();
  const options = {
    env: { DAVIT_HOME: dir.path },
    engine: async () => {
      throw new Error("this rack has no engine");
    },
  };
  const rack =
    name === "local" ? await EmbeddedRack.open(name, options) : await EmbeddedRack.create(name, options);
  const close = rack[Symbol.asyncDispose].bind(rack);
  return Object.assign(rack, {
    home: dir.path,
    [Symbol.asyncDispose]: async () => {
      await close();
      dir[Symbol.dispose]();
    },
  });
}
