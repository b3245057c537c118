import { DavitError } from "../errors.ts";
import type { Command, Input } from "./command.ts";
import { passwordFrom } from "./serve.ts";
import { step } from "./show.ts";
import { registryFlags, registryOptions } from "./transfer.ts";

export const registriesLogin: Command = {
  name: "registries login",
  args: "<host>",
  summary: "log in to a registry, and keep the login where docker keeps its own",
  flags: {
    username: { type: "string", short: "u", summary: "user name" },
    "password-stdin": { type: "boolean", summary: "read the password from stdin" },
    ...registryFlags,
  },
  examples: ["davit registries login registry.example.com --username ci --password-stdin < password"],
  async run(input, context) {
    const [host = ""] = input.args;
    const credentials = await readCredentials(input, host);
    const [{ checkLogin }, { storeLogin }, { checkHost }] = await Promise.all([
      import("../oci/registry-login.ts"),
      import("../http/docker-login.ts"),
      import("../oci/reference.ts"),
    ]);
    const options = await registryOptions(input, context);
    await step(
      context.stdout,
      `Logging in to ${checkHost(host)}`,
      async () => {
        await checkLogin(host, credentials, options);
        return await storeLogin(host, credentials, context.env);
      },
      (place) => `kept in ${place}`,
    );
  },
};

async function readCredentials(input: Input, host: string) {
  const username = input.text("username");
  if (username === undefined)
    throw new DavitError("usage", `Cannot log in to ${host}: give the user's name with --username`);
  const password = await passwordFrom(input);
  if (password === undefined)
    throw new DavitError("usage", `Cannot log in to ${host}: give the password with --password-stdin`, {
      hint: "a password on the command line would be seen by everyone on this machine",
    });
  return { username, password };
}
