import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { appsOf, numberFlag } from "./show.ts";

export const rackToken: Command = {
  name: "rack token",
  summary: "make a password of fewer rights, for some time: user name jwt, this token as the password",
  flags: {
    role: { type: "string", summary: "read, write or admin; read when left out" },
    hours: { type: "string", summary: "how long it is good; 24 when left out" },
    "for-app": {
      type: "strings",
      summary:
        "a deploy key: builds and releases of this app only; may be repeated, or several joined with commas",
    },
    for: { type: "string", summary: "who it is for, in the audit log" },
  },
  examples: ["davit rack token --role write --hours 720", "davit rack token --for-app shop --for ci"],
  async run(input, context) {
    if (input.text("role") !== undefined && input.texts("for-app").length > 0)
      throw new DavitError("usage", "Cannot use --role with --for-app: a deploy key has a role of its own");
    const role = input.text("role") ?? (input.texts("for-app").length > 0 ? "write" : "read");
    if (role !== "read" && role !== "write" && role !== "admin")
      throw new DavitError(
        "usage",
        `Cannot make a token of role ${JSON.stringify(role)}: it is read, write or admin`,
      );
    const [apps, name] = [appsOf(input), input.text("for")];
    const hours = await numberFlag(input, "hours", 24);
    const token = await (await context.rack()).createToken({
      ...{ role, hours },
      ...(apps.length > 0 ? { apps } : {}),
      ...(name === undefined ? {} : { name }),
    });
    context.stdout.line(token);
  },
};
