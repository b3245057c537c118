import { resolve } from "node:path";
import { DavitError } from "../errors.ts";
import { bytes } from "../terminal/time.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";

export const check: Command = {
  name: "check",
  args: "[dir]",
  summary: "read convox.yml, Dockerfiles and ignore rules without building; list every mistake",
  flags: {
    manifest: { type: "string", short: "m", summary: "path of convox.yml in the project" },
    "build-args": { type: "strings", summary: "build arg NAME=VALUE, as for `build`" },
  },
  examples: ["davit check", "davit check ./shop --json"],
  async run(input, context) {
    const { checkProject } = await import("../build/check.ts");
    const dir = resolve(context.cwd, input.args[0] ?? ".");
    const report = await checkProject(dir, input.text("manifest") ?? "convox.yml", input.texts("build-args"));
    if (input.on("json")) json(context, report);
    else {
      for (const service of report.services)
        context.stdout.line(
          `${service.name}: ${service.image ? `image ${service.image}` : `build ${service.path} (${service.manifest})`}`,
        );
      if (report.services.length > 0)
        context.stdout.line(`context: ${report.context.files} files, ${bytes(report.context.bytes)}`);
      for (const { file, line, message } of report.errors) context.stderr.line(`${file}:${line}: ${message}`);
    }
    if (report.errors.length > 0)
      throw new DavitError(
        "invalid",
        `Cannot use ${dir}: ${report.errors.length} mistake${report.errors.length > 1 ? "s" : ""} found`,
      );
  },
};
