import { resolve } from "node:path";
import type { Command } from "./command.ts";

export const init: Command = {
  name: "init",
  args: "[dir]",
  summary: "write a convox.yml for the Dockerfiles of a project",
  examples: ["davit init", "davit init ./shop"],
  async run(input, context) {
    const { initProject } = await import("../build/init.ts");
    const { path, services } = await initProject(resolve(context.cwd, input.args[0] ?? "."));
    context.stdout.line(
      `Wrote ${path} with ${services.map((service) => `${service.name} (${service.path})`).join(", ")}`,
    );
  },
};
