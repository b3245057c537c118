import { DavitError } from "../errors.ts";
import { stdinText } from "../read-fd.ts";
import type { RegistryServer } from "../server/registry-server.ts";
import type { Context, Flag, Input } from "./command.ts";

/** Flags of commands that serve. */
export const serveFlags: Record<string, Flag> = {
  listen: { type: "string", summary: "address and port; port 0 takes a free one" },
  "password-stdin": { type: "boolean", summary: "read the password from stdin" },
  host: { type: "strings", summary: "a name that clients may call this server by" },
};

/** Says where, on the first line, and serves until a signal. */
export async function serveUntilSignal(server: RegistryServer, context: Context): Promise<void> {
  await using _ = server;
  context.stdout.line(`listening on ${server.url}`);
  await context.stdout.flush();
  const { promise, resolve } = Promise.withResolvers<void>();
  context.signal.addEventListener("abort", () => resolve());
  if (context.signal.aborted) resolve();
  await promise;
}

/** The password on stdin, without its line end. */
export async function passwordFrom(input: Input): Promise<string | undefined> {
  if (!input.on("password-stdin")) return undefined;
  const password = (await stdinText()).replace(/\r?\n$/, "");
  if (password === "") throw new DavitError("usage", "Cannot read a password: stdin is empty");
  return password;
}
