import { readFile } from "node:fs/promises";
import type { EngineSwarm } from "../docker-api/swarm.ts";
import { DavitError, systemError } from "../errors.ts";
import type { Command, Input } from "./command.ts";
import { rackOptions } from "./context.ts";
import { step } from "./show.ts";

export const rackInstall: Command = {
  name: "rack install",
  summary: "let an embedded rack run what it promotes, on the Docker Swarm of this engine",
  flags: {
    domain: { type: "string", summary: "let the world in: services answer to SERVICE.APP.DOMAIN" },
    tls: { type: "string", summary: "off, acme for public certificates, or internal" },
    certificate: { type: "string", summary: "a file with the certificate for it all, and its chain, in PEM" },
    key: { type: "string", summary: "a file with the certificate's key, in PEM" },
  },
  examples: ["davit rack install", "davit rack install --domain apps.example.com -r west"],
  async run(input, context) {
    const [{ EngineClient }, { EngineSwarm }, { EmbeddedRack }] = await Promise.all([
      import("../docker-api/client.ts"),
      import("../docker-api/swarm.ts"),
      import("../rack/embedded.ts"),
    ]);
    await using rack = await EmbeddedRack.open(
      await context.rackName(),
      rackOptions(context.env, context.warn),
    );
    const swarm = new EngineSwarm(await EngineClient.fromEnv(context.env));
    if ((await swarm.info()).isManager) context.stdout.line("This engine is a Swarm manager already");
    else await step(context.stdout, "Making a Swarm of this engine alone", () => makeSwarm(swarm));
    const params = { Runtime: "swarm", ...(await routerParams(input)) };
    await step(context.stdout, `Installing rack ${rack.name}`, () => rack.setParams(params));
  },
};

/** Another davit may be at it too. */
async function makeSwarm(swarm: EngineSwarm): Promise<void> {
  try {
    await swarm.init();
  } catch (error) {
    if (!(await swarm.info()).isManager) throw error;
  }
}

async function routerParams(input: Input): Promise<Record<string, string>> {
  const [domain, tls] = [input.text("domain"), input.text("tls")];
  const [certificate, key] = [input.text("certificate"), input.text("key")];
  if ((certificate === undefined) !== (key === undefined))
    throw new DavitError(
      "usage",
      "Cannot use a certificate without its key, nor a key without its certificate",
    );
  const given =
    certificate === undefined || key === undefined
      ? {}
      : { RouterTls: "given", RouterCertificate: await read(certificate), RouterKey: await read(key) };
  return {
    ...(domain === undefined ? {} : { RouterDomain: domain }),
    ...(tls === undefined ? {} : { RouterTls: tls }),
    ...given,
  };
}

async function read(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((error: unknown) => {
    throw systemError(`Cannot read ${path}`, error);
  });
}
