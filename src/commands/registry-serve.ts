import type { Command } from "./command.ts";
import { passwordFrom, serveFlags, serveUntilSignal } from "./serve.ts";

export const registryServe: Command = {
  name: "registry serve",
  args: "<dir>",
  summary: "serve an OCI layout directory as a registry",
  flags: serveFlags,
  examples: ["davit registry serve ./images --listen 127.0.0.1:5000"],
  async run(input, context) {
    const [{ openLayoutRegistry }, { serveRegistry }, { parseAddress }] = await Promise.all([
      import("../rack/layout-registry.ts"),
      import("../server/registry-server.ts"),
      import("../server/listen.ts"),
    ]);
    const [dir = ""] = input.args;
    const address = parseAddress(input.text("listen") ?? "127.0.0.1:5000");
    const password = await passwordFrom(input);
    const registry = await openLayoutRegistry(dir);
    const server = await serveRegistry({ registry, dir, address, password, hosts: input.texts("host") });
    await serveUntilSignal(server, context);
  },
};
