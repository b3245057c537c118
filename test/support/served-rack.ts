import { EmbeddedRack } from "../../src/rack/embedded.ts";
import { Ledger } from "../../src/rack/ledger.ts";
import { serveRack } from "../../src/server/rack-server.ts";
import { tempDir } from "./temp.ts";

export const RACK_PASSWORD = "a rack's password";

/** `USER:PASSWORD`; undefined shows none. */
export type Credentials = string | undefined;

/** A rack with its real server, in this process. */
export async function servedRack(now?: () => Date) {
  const dir = tempDir();
  const rack = await EmbeddedRack.open("local", {
    env: { DAVIT_HOME: dir.path, HOME: dir.path },
    engine: () => Promise.reject(new Error("no engine here")),
    ...(now ? { now } : {}),
  });
  const server = await serveRack({
    ...{ rack, dir: dir.join("racks/local"), password: RACK_PASSWORD },
    address: { hostname: "127.0.0.1", port: 0 },
    limits: { running: 2, waiting: 10 },
  });
  const headersOf = (login: Credentials): Record<string, string> =>
    login === undefined ? {} : { authorization: `Basic ${Buffer.from(login).toString("base64")}` };
  return {
    ...{
      rack,
      url: server.url,
      headersOf,
      ledger: () => Ledger.open({ path: dir.join("racks/local/ledger.db") }),
    },
    /** Fields go into a form. */
    async ask(login: Credentials, method: string, path: string, fields?: Record<string, string>) {
      const response = await fetch(`${server.url}${path}`, {
        ...{ method, headers: headersOf(login) },
        ...(fields ? { body: new URLSearchParams(fields) } : {}),
      });
      return { status: response.status, text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await rack[Symbol.asyncDispose]();
      dir[Symbol.dispose]();
    },
  };
}

export const ADMIN = `convox:${RACK_PASSWORD}`;
