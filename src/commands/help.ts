import type { Command, Flag } from "./command.ts";
import { GLOBAL_FLAGS } from "./dispatch.ts";

/** Help for one command, drawn by cac from our own table. */
export async function commandHelp(command: Command): Promise<string> {
  const { cac } = await import("cac");
  const cli = cac("davit");
  const drawn = cli.command(`${command.name} ${command.args ?? ""}`.trim(), command.summary);
  for (const [name, flag] of Object.entries({ ...command.flags, ...GLOBAL_FLAGS }))
    drawn.option(flagText(name, flag), flag.summary);
  const usage = `Usage:\n  $ davit ${command.name}${command.args ? ` ${command.args}` : ""} [flags]`;
  const width = Math.max(...drawn.options.map((option) => option.rawName.length));
  const flags = drawn.options.map((option) => `  ${option.rawName.padEnd(width)}  ${option.description}`);
  const examples = command.examples.map((example) => `  $ ${example}`);
  return [drawn.description, "", usage, "", "Flags:", ...flags, "", "Examples:", ...examples, ""].join("\n");
}

function flagText(name: string, flag: Flag): string {
  const short = flag.short ? `-${flag.short}, ` : "";
  return `${short}--${name}${flag.type === "boolean" ? "" : " <value>"}`;
}

/** The list of all commands. */
export function overview(commands: readonly Command[]): string {
  const rows = commands.map(
    (command) => [`${command.name} ${command.args ?? ""}`.trim(), command.summary] as const,
  );
  const width = Math.max(...rows.map(([usage]) => usage.length));
  return [
    "davit builds a project's services into images, keeps every build, and moves builds between racks",
    "",
    "Usage:",
    "  $ davit <command> [flags]",
    "",
    "Commands:",
    ...rows.map(([usage, summary]) => `  ${usage.padEnd(width)}  ${summary}`),
    "",
    "Examples:",
    "  $ davit init && davit build",
    "  $ davit builds export BABCDEFGHIJ -r east | davit builds import -r west",
    "",
    "Flags of every command, and more examples: davit <command> --help",
    "",
  ].join("\n");
}
