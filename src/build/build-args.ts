import { DavitError } from "../errors.ts";

/** The arguments a build can ask for by bare name; no other variable of the builder can leak into an image. */
export const MANAGED = [
  "BUILD_APP",
  "BUILD_AUTH",
  "BUILD_DEVELOPMENT",
  "BUILD_GENERATION",
  "BUILD_GIT_SHA",
  "BUILD_ID",
  "BUILD_MANIFEST",
  "BUILD_RACK",
] as const;
export type Managed = Record<(typeof MANAGED)[number], string>;

export function isManaged(name: string): name is (typeof MANAGED)[number] {
  return MANAGED.some((managed) => managed === name);
}

/** Splits `K=V` and bare managed names; anything else is a mistake on the command line. */
export function parseBuildArg(text: string): { name: string; value: string | undefined } {
  const equals = text.indexOf("=");
  const name = equals < 0 ? text : text.slice(0, equals);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new DavitError("usage", `Cannot use build arg ${JSON.stringify(text)}: it is not NAME=VALUE`);
  if (equals >= 0) return { name, value: text.slice(equals + 1) };
  if (isManaged(name)) return { name, value: undefined };
  throw new DavitError(
    "usage",
    `Cannot use build arg ${name}: only the managed ones have a value of their own`,
    {
      hint: `write ${name}=VALUE; managed are ${MANAGED.join(", ")}`,
    },
  );
}

/**
 * The arguments one Dockerfile gets: the app's env, over it `build.args` of
 * convox.yml, over it the command line's; and only names the file declares.
 */
export function resolveArgs(
  declared: string[],
  env: Record<string, string>,
  defaults: Record<string, string>,
  commandLine: string[],
  managed: Managed,
): Record<string, string> {
  const given: Record<string, string> = { ...env, ...defaults };
  for (const text of commandLine) {
    const { name, value } = parseBuildArg(text);
    const resolved = value ?? (isManaged(name) ? managed[name] : "");
    if (value !== undefined || resolved !== "") given[name] = resolved;
  }
  const args: Record<string, string> = {};
  for (const name of [...declared].sort()) if (Object.hasOwn(given, name)) args[name] = given[name] ?? "";
  return args;
}
