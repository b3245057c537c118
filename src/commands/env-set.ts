import { DavitError } from "../errors.ts";
import { stdinText } from "../read-fd.ts";
import type { Command } from "./command.ts";
import { changeEnv, changeFlags } from "./env-change.ts";
import { namedValues } from "./named-values.ts";

export const envSet: Command = {
  name: "env set",
  args: "[NAME=VALUE...]",
  summary: "set variables, from arguments and from lines on stdin, in a new release",
  flags: { ...changeFlags, replace: { type: "boolean", summary: "forget every variable not given" } },
  examples: ["davit env set LOG_LEVEL=debug -a shop", "davit env set -a shop < .env"],
  async run(input, context) {
    const { parseEnv } = await import("../rack/env-text.ts");
    const piped = process.stdin.isTTY || input.args.length > 0 ? "" : await stdinText();
    // A word without `=` is a slip; a line of a file without one is a comment.
    if (input.args.length > 0) namedValues(input.args);
    const given = { ...parseEnv(piped), ...parseEnv(input.args.join("\n")) };
    const names = Object.keys(given).sort();
    if (names.length === 0 && !input.on("replace"))
      throw new DavitError("usage", "Cannot set env: no NAME=VALUE was given", {
        hint: "usage: davit env set NAME=VALUE…",
      });
    await changeEnv(input, context, `Setting ${names.join(", ")}`, (before) => ({
      ...(input.on("replace") ? {} : before),
      ...given,
    }));
  },
};
