import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Command, Context } from "./command.ts";
import { rackOptions } from "./context.ts";
import { passwordFrom, serveFlags, serveUntilSignal } from "./serve.ts";

export const rackStart: Command = {
  name: "rack start",
  summary: "serve a rack's images to others as a registry, one repository for each app",
  flags: serveFlags,
  examples: ["davit rack start --listen 127.0.0.1:5443"],
  async run(input, context) {
    const [{ EmbeddedRack }, { Home }, { serveRegistry }, { parseAddress }] = await Promise.all([
      import("../rack/embedded.ts"),
      import("../rack/home.ts"),
      import("../server/registry-server.ts"),
      import("../server/listen.ts"),
    ]);
    const name = await context.rackName();
    const address = parseAddress(input.text("listen") ?? "127.0.0.1:5443");
    await using rack = await EmbeddedRack.open(name, rackOptions(context.env));
    const dir = new Home(context.env).rackDir(name);
    const password = (await passwordFrom(input)) ?? (await ownPassword(dir, context));
    const registry = rack.registry();
    const server = await serveRegistry({ registry, dir, address, password, hosts: input.texts("host") });
    await serveUntilSignal(server, context);
  },
};

/** Made at the first start, kept for the owner's eyes, and shown this once. */
async function ownPassword(dir: string, context: Context): Promise<string> {
  const path = join(dir, "password");
  if (existsSync(path)) return (await readFile(path, "utf8")).trim();
  const password = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
  await writeFile(path, `${password}\n`, { mode: 0o600, flag: "wx" });
  context.stderr.line(`password: ${password}`);
  return password;
}
