import type { Command } from "./command.ts";
import { step } from "./show.ts";

export const registriesLogout: Command = {
  name: "registries logout",
  args: "<host>",
  summary: "forget the login to a registry",
  examples: ["davit registries logout registry.example.com"],
  async run(input, context) {
    const [host = ""] = input.args;
    const { forgetLogin } = await import("../http/docker-login.ts");
    await step(
      context.stdout,
      `Logging out of ${host}`,
      () => forgetLogin(host, context.env),
      (known) => (known ? "forgotten" : "there was no login"),
    );
  },
};
