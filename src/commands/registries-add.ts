import { DavitError } from "../errors.ts";
import type { Command } from "./command.ts";
import { passwordFrom } from "./serve.ts";
import { appsOf, step } from "./show.ts";

export const registriesAdd: Command = {
  name: "registries add",
  args: "<server> [username] [password]",
  summary: "log the rack's builds in to a registry",
  flags: {
    username: { type: "string", short: "u", summary: "user name" },
    "for-app": {
      type: "strings",
      summary: "only for builds of this app; may be repeated, or several joined with commas",
    },
    "for-rack": {
      type: "boolean",
      summary: "for no builds: only for what the rack itself does, such as `Registry=`",
    },
    "password-stdin": { type: "boolean", summary: "read the password from stdin" },
  },
  examples: [
    "davit registries add registry.example.com -u ci --password-stdin < password",
    "davit registries add registry.example.com -u ci --password-stdin --for-app shop < password",
  ],
  async run(input, context) {
    const [server = "", name, given] = input.args;
    const username = name ?? input.text("username");
    const password = (await passwordFrom(input)) ?? given;
    if (username === undefined || password === undefined)
      throw new DavitError(
        "usage",
        `Cannot add ${server}: give a user name, and the password with --password-stdin`,
      );
    if (given !== undefined)
      context.stderr.line(
        "warning: everyone on this machine can see a password on the command line; --password-stdin hides it",
      );
    const apps = appsOf(input);
    const isLimited = apps.length > 0 || input.on("for-rack");
    const login = { server, username, password, ...(isLimited ? { apps } : {}) };
    const rack = await context.rack();
    await step(context.stdout, "Adding registry", () => rack.addRegistry(login));
  },
};
