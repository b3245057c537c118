import type { Command } from "./command.ts";
import { rackOptions } from "./context.ts";
import { step } from "./show.ts";

export const rackInstall: Command = {
  name: "rack install",
  summary: "let an embedded rack run what it promotes, on the Docker Swarm of this engine",
  flags: {
    domain: { type: "string", summary: "let the world in: services answer to SERVICE.APP.DOMAIN" },
  },
  examples: ["davit rack install", "davit rack install --domain apps.example.com -r west"],
  async run(input, context) {
    const [{ EngineClient }, { EngineSwarm }, { EmbeddedRack }] = await Promise.all([
      import("../docker-api/client.ts"),
      import("../docker-api/swarm.ts"),
      import("../rack/embedded.ts"),
    ]);
    await using rack = await EmbeddedRack.open(await context.rackName(), rackOptions(context.env));
    const swarm = new EngineSwarm(await EngineClient.fromEnv(context.env));
    if (await swarm.isManager()) context.stdout.line("This engine is a Swarm manager already");
    else await step(context.stdout, "Making a Swarm of this engine alone", () => swarm.init());
    const domain = input.text("domain");
    const params = { Runtime: "swarm", ...(domain === undefined ? {} : { RouterDomain: domain }) };
    await step(context.stdout, `Installing rack ${rack.name}`, () => rack.setParams(params));
  },
};
