import { DavitError } from "./errors.ts";

/** How long a connection may be silent, in milliseconds. */
export function idleTimeout(): number {
  const seconds = Number(process.env["DAVIT_IDLE_TIMEOUT"]);
  return (seconds > 0 ? seconds : 30) * 1000;
}

/** The user, or a signal, has ended it. */
export function interrupted(cause: unknown): DavitError {
  return new DavitError("interrupted", "Interrupted", { cause });
}
