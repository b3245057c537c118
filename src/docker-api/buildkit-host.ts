import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { DavitError, reasonOf, systemError } from "../errors.ts";
import type { Env } from "./host.ts";

/** How long a connection may take to come about, in milliseconds. */
const PATIENCE = 10_000;

/**
 * Connects to a buildkitd as `buildctl` does: `unix:///path`, `tcp://host:port` with the certificates
 * of `BUILDKIT_TLS_DIR` (ca.pem, cert.pem, key.pem), or `ssh://user@host`, through `buildctl dial-stdio` there.
 */
export async function dialBuildkit(address: string, env: Env): Promise<Duplex> {
  const [, scheme, rest = ""] = /^([a-z]+):\/\/(.+)$/.exec(address) ?? [];
  if (scheme === "unix") return await connected(address, await unix(rest));
  if (scheme === "tcp") return await connected(address, await tcp(address, env));
  if (scheme === "ssh") return await ssh(address);
  throw new DavitError(
    "invalid",
    `Cannot use buildkitd ${JSON.stringify(address.slice(0, 200))}: it is not unix://, tcp:// or ssh://`,
    { hint: "see BUILDKIT_HOST" },
  );
}

async function unix(path: string): Promise<Duplex> {
  return (await import("node:net")).connect({ path });
}

async function tcp(address: string, env: Env): Promise<Duplex> {
  if (!URL.canParse(address))
    throw new DavitError("invalid", `Cannot use buildkitd ${JSON.stringify(address)}`);
  const { hostname: host, port } = new URL(address);
  const dir = env["BUILDKIT_TLS_DIR"];
  if (!dir) return (await import("node:net")).connect({ host, port: Number(port) });
  const read = async (file: string): Promise<string> =>
    await readFile(join(dir, file), "utf8").catch((error: unknown) => {
      throw systemError(`Cannot read ${join(dir, file)}`, error);
    });
  const [ca, cert, key] = await Promise.all(["ca.pem", "cert.pem", "key.pem"].map(read));
  const { connect } = await import("node:tls");
  const servername = isIP(host) === 0 ? { servername: host } : {};
  return connect({ host, port: Number(port), ALPNProtocols: ["h2"], ca, cert, key, ...servername });
}

/** ssh finds keys, hosts and proxies by its own settings; it asks nobody anything. */
async function ssh(address: string): Promise<Duplex> {
  if (!URL.canParse(address))
    throw new DavitError("invalid", `Cannot use buildkitd ${JSON.stringify(address)}`);
  const { hostname, port, username } = new URL(address);
  const [{ spawn }, { Duplex: Pair }] = await Promise.all([
    import("node:child_process"),
    import("node:stream"),
  ]);
  const where = username === "" ? hostname : `${decodeURIComponent(username)}@${hostname}`;
  const args = [
    "-o",
    "BatchMode=yes",
    ...(port === "" ? [] : ["-p", port]),
    "--",
    where,
    "buildctl",
    "dial-stdio",
  ];
  const child = spawn("ssh", args, { stdio: ["pipe", "pipe", "inherit"] });
  const duplex = new Pair({
    read: () => child.stdout.resume(),
    write: (chunk, _encoding, done) => child.stdin.write(chunk, done),
    final: (done) => child.stdin.end(done),
  });
  child.stdout.on("data", (chunk) => duplex.push(chunk) || child.stdout.pause());
  child.stdout.on("end", () => duplex.push(null));
  child.once("error", (error) => duplex.destroy(error));
  duplex.once("close", () => child.kill());
  return duplex;
}

async function connected(address: string, socket: Duplex): Promise<Duplex> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => reject(new Error("it did not answer")), PATIENCE);
  socket.once("secureConnect", resolve);
  if (!("encrypted" in socket)) socket.once("connect", resolve);
  socket.once("error", reject);
  try {
    await promise;
    socket.off("error", reject);
    return socket;
  } catch (error) {
    socket.destroy();
    throw new DavitError("engine", `Cannot reach buildkitd at ${address}: ${reasonOf(error)}`, {
      cause: error,
      hint: "see whether it runs there, and BUILDKIT_HOST",
    });
  } finally {
    clearTimeout(timer);
  }
}
