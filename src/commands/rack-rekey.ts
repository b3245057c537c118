import { readFile } from "node:fs/promises";
import { systemError } from "../errors.ts";
import type { Command } from "./command.ts";
import { rackOptions } from "./context.ts";
import { step } from "./show.ts";

export const rackRekey: Command = {
  name: "rack rekey",
  summary: "seal an embedded rack's secrets with another key",
  flags: { key: { type: "string", summary: "take the new key from this file, else make one" } },
  examples: ["davit rack rekey", "davit rack rekey -r east --key new.key"],
  async run(input, context) {
    const [{ EmbeddedRack }, { Home }, { checkName }, { ServerLock }] = await Promise.all([
      import("../rack/embedded.ts"),
      import("../rack/home.ts"),
      import("../rack/ids.ts"),
      import("../server/server-lock.ts"),
    ]);
    const name = checkName("rack", await context.rackName());
    const given = input.text("key");
    const key =
      given === undefined
        ? undefined
        : await readFile(given, "utf8").catch((error: unknown) => {
            throw systemError(`Cannot read the key ${given}`, error);
          });
    await using rack = await EmbeddedRack.open(name, rackOptions(context.env, context.warn));
    const dir = new Home(context.env).rackDir(name);
    // A server that runs would go on with the old key.
    await using _ = await ServerLock.take(dir);
    await step(
      context.stdout,
      `Sealing rack ${name} with another key`,
      () => rack.rekey(key),
      (id) => id,
    );
    if (context.env["DAVIT_KEY"])
      context.stderr.line(`DAVIT_KEY is the old key: set it to what is in ${dir}/key now`);
  },
};
