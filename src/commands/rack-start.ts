import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DavitError, systemError } from "../errors.ts";
import type { EmbeddedRack } from "../rack/embedded.ts";
import type { Address } from "../server/listen.ts";
import type { Command, Context, Input } from "./command.ts";
import { rackOptions } from "./context.ts";
import { passwordFrom, serveFlags, serveUntilSignal } from "./serve.ts";

/** Builds that may wait for their turn. */
const WAITING = 100;

export const rackStart: Command = {
  name: "rack start",
  summary: "serve a rack to others: its API, which `convox` speaks too, and its images as a registry",
  flags: {
    ...serveFlags,
    "tls-self-signed": {
      type: "boolean",
      summary: "serve https with a certificate of its own; clients keep its fingerprint",
    },
    "tls-cert": { type: "string", summary: "serve https with this certificate, a PEM file" },
    "tls-key": { type: "string", summary: "its key, a PEM file" },
    "log-requests": { type: "boolean", summary: "write a line of JSON for every request to stderr" },
  },
  examples: ["davit rack start --listen 127.0.0.1:5443"],
  async run(input, context) {
    const [{ EmbeddedRack }, { Home }, { checkName }, { serveRack }, { parseAddress }, { REGISTRY_HOST }] =
      await Promise.all([
        import("../rack/embedded.ts"),
        import("../rack/home.ts"),
        import("../rack/ids.ts"),
        import("../server/rack-server.ts"),
        import("../server/listen.ts"),
        import("../rack/params.ts"),
      ]);
    const name = checkName("rack", await context.rackName());
    const address = parseAddress(input.text("listen") ?? "127.0.0.1:5443");
    await using rack = await EmbeddedRack.open(name, rackOptions(context.env, context.warn));
    const dir = new Home(context.env).rackDir(name);
    const password = (await passwordFrom(input)) ?? (await ownPassword(rack, dir, context));
    const { BuildConcurrency = "2", [REGISTRY_HOST]: registry = "" } = (await rack.system()).parameters;
    const server = await serveRack({
      ...{ rack, dir, address, password },
      hosts: [...input.texts("host"), registry.replace(/:\d+$/, "").toLowerCase()],
      tls: await tlsOf(input, dir, address, context),
      limits: { running: Number(BuildConcurrency), waiting: WAITING },
      ...(input.on("log-requests") ? { onRequest: (line: string) => context.stderr.line(line) } : {}),
    });
    await serveUntilSignal(server, context);
  },
};

async function tlsOf(input: Input, dir: string, address: Address, context: Context) {
  const [cert, key] = [input.text("tls-cert"), input.text("tls-key")];
  if (input.on("tls-self-signed")) {
    const { ownCertificate } = await import("../server/self-signed.ts");
    const own = await ownCertificate(dir, [...input.texts("host"), address.hostname]);
    context.stderr.line(`certificate: SHA256 ${own.fingerprint}`);
    return own;
  }
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined || key === undefined)
    throw new DavitError("usage", "Cannot serve https: --tls-cert and --tls-key go together");
  const read = (path: string) =>
    readFile(path, "utf8").catch((error: unknown) => {
      throw systemError(`Cannot read ${path}`, error);
    });
  return { cert: await read(cert), key: await read(key) };
}

/** Made at the first start, kept for the owner's eyes, and shown this once. Servers of one rack keep it in what they share. */
async function ownPassword(rack: EmbeddedRack, dir: string, context: Context): Promise<string> {
  if (rack.isShared)
    return await rack.sharedPassword((password) => context.stderr.line(`password: ${password}`));
  const path = join(dir, "password");
  if (existsSync(path)) return (await readFile(path, "utf8")).trim();
  const password = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("base64url");
  await writeFile(path, `${password}\n`, { mode: 0o600, flag: "wx" });
  context.stderr.line(`password: ${password}`);
  return password;
}
