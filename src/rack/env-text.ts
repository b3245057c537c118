import { DavitError } from "../errors.ts";

/** A longer env is refused, in characters: a program cannot be given much more. */
const MAX_LENGTH = 512 * 1024;

/** Env as releases hold it: `KEY=VALUE` lines, split at the first `=`; lines without one are ignored. */
export function parseEnv(text: string): Record<string, string> {
  if (text.length > MAX_LENGTH)
    throw new DavitError("invalid", `Cannot use the env: it is longer than ${MAX_LENGTH} characters`);
  const env: Record<string, string> = {};
  for (const line of text.split("\n")) {
    const equals = line.indexOf("=");
    if (equals > 0) env[line.slice(0, equals).trim()] = line.slice(equals + 1);
  }
  return env;
}

/** Sorted by name, without a last line end. */
export function renderEnv(env: Record<string, string>): string {
  return Object.keys(env)
    .sort()
    .map((key) => `${key}=${env[key]}`)
    .join("\n");
}

/** How a release describes a change of env: `env add:A,B change:C remove:D`; "" when nothing differs. */
export function describeChange(before: Record<string, string>, after: Record<string, string>): string {
  const added = Object.keys(after).filter((key) => !Object.hasOwn(before, key));
  const changed = Object.keys(after).filter(
    (key) => Object.hasOwn(before, key) && before[key] !== after[key],
  );
  const removed = Object.keys(before).filter((key) => !Object.hasOwn(after, key));
  const parts = [list("add", added), list("change", changed), list("remove", removed)].filter(
    (part) => part !== "",
  );
  return parts.length === 0 ? "" : `env ${parts.join(" ")}`;
}

function list(label: string, keys: string[]): string {
  return keys.length === 0 ? "" : `${label}:${keys.sort().join(",")}`;
}
