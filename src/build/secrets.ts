import { resolve } from "node:path";
import type { Bytes } from "../bytes.ts";
import { encode } from "../bytes.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { readNamed } from "../plain-file.ts";

/** What `RUN --mount=type=secret` can ask for, by id. */
export type Secrets = ReadonlyMap<string, Bytes>;

/** The largest secret BuildKit takes, in bytes. */
const LARGEST = 500 * 1024;

/**
 * Reads what `--secret` names, as docker does: `id=ID[,src=PATH|,env=NAME]`; without a source
 * it is the variable of that name, else the file. Values never stand on a command line.
 */
export async function readSecrets(
  flags: readonly string[],
  env: Record<string, string | undefined>,
  cwd: string,
): Promise<Secrets> {
  const secrets = new Map<string, Bytes>();
  for (const flag of flags) {
    const { id, path, name } = parse(flag);
    if (secrets.has(id)) throw new DavitError("usage", `Cannot use secret ${id}: it is given twice`);
    const fromEnv = path === undefined ? env[name ?? id] : undefined;
    if (name !== undefined && fromEnv === undefined)
      throw new DavitError("not-found", `Cannot read secret ${id}: there is no variable ${name}`);
    const value = fromEnv === undefined ? await readSecret(id, resolve(cwd, path ?? id)) : encode(fromEnv);
    if (value.byteLength > LARGEST)
      throw new DavitError("invalid", `Cannot use secret ${id}: it has more than ${LARGEST / 1024} KiB`);
    secrets.set(id, value);
  }
  return secrets;
}

async function readSecret(id: string, path: string): Promise<Bytes> {
  return await readNamed(path, LARGEST).catch((error: unknown) => {
    throw new DavitError(
      hasCode(error, "invalid") ? "invalid" : "io",
      `Cannot read secret ${id}: ${reasonOf(error)}`,
      { cause: error },
    );
  });
}

function parse(flag: string): { id: string; path?: string; name?: string } {
  const fields = new Map<string, string>();
  for (const part of flag.split(",")) {
    const equals = part.indexOf("=");
    const key = part.slice(0, Math.max(0, equals)).trim().toLowerCase();
    if (!["id", "src", "source", "env", "type"].includes(key)) throw unusable(flag);
    fields.set(key === "source" ? "src" : key, part.slice(equals + 1));
  }
  const [id, src, name, type] = ["id", "src", "env", "type"].map((key) => fields.get(key));
  if (!id || (src !== undefined && name !== undefined)) throw unusable(flag);
  if (type !== undefined && type !== "file" && type !== "env") throw unusable(flag);
  // `type=env,src=NAME` is docker's other way to name a variable.
  if (type === "env") return { id, name: name ?? src ?? id };
  return { id, ...(src === undefined ? {} : { path: src }), ...(name === undefined ? {} : { name }) };
}

/** What stands there may be a secret by mistake: only its id is repeated. */
function unusable(flag: string): DavitError {
  const [, id = ""] = /(?:^|,)id=([\w.-]{1,100})(?:,|$)/.exec(flag) ?? [];
  return new DavitError(
    "usage",
    `Cannot use ${id ? `secret ${JSON.stringify(id)}` : "--secret"}: it is not id=ID,src=PATH or id=ID,env=NAME`,
  );
}
