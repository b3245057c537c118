import { DavitError } from "../errors.ts";
import { shown } from "../terminal/shown.ts";
import type { Command } from "./command.ts";
import { json } from "./show.ts";
import { registryFlags, registryOptions } from "./transfer.ts";

export const registriesCheck: Command = {
  name: "registries check",
  args: "<host>",
  summary:
    "find out what a registry can do, in words its operator can use; HOST/REPOSITORY also tries a push",
  flags: registryFlags,
  examples: [
    "davit registries check registry.example.com",
    "davit registries check registry.example.com/team/scratch",
  ],
  async run(input, context) {
    const [target = ""] = input.args;
    const [{ checkRegistry }, { checkHost }] = await Promise.all([
      import("../oci/registry-check.ts"),
      import("../oci/reference.ts"),
    ]);
    const slash = target.indexOf("/");
    const [host, repository] =
      slash < 0 ? [target, undefined] : [target.slice(0, slash), target.slice(slash + 1)];
    const { findings, profile } = await checkRegistry(
      checkHost(host),
      repository,
      await registryOptions(input, context),
    );
    if (input.on("json")) json(context, { host, findings, profile });
    else {
      const width = Math.max(...findings.map(({ what }) => what.length));
      for (const { what, found, ok } of findings)
        context.stdout.line(
          shown`${ok ? context.stdout.paint.good("ok ") : context.stdout.paint.bad("bad")} ${what.padEnd(width)}  ${found}`,
        );
    }
    if (findings[0]?.ok === false)
      throw new DavitError("unavailable", `Cannot use ${host}: ${findings[0].found}`);
  },
};
