import { stat } from "node:fs/promises";
import { join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";

/** A project is a directory with a convox.yml; anything else is said before a build starts. */
export async function requireProject(dir: string, manifest: string): Promise<void> {
  const info = await statOr(dir);
  if (!info)
    throw new DavitError("not-found", `Cannot build ${dir}: there is no such directory`, {
      hint: "name the project's directory",
    });
  if (!info.isDirectory())
    throw new DavitError("invalid", `Cannot build ${dir}: it is not a directory`, {
      hint: "name the project's directory",
    });
  const file = await statOr(join(dir, manifest));
  if (!file)
    throw new DavitError("not-found", `Cannot build ${dir}: no such file: ${manifest}`, {
      hint: "`davit init` writes one, `-m FILE` names another",
    });
  if (!file.isFile())
    throw new DavitError("invalid", `Cannot read ${join(dir, manifest)}: it is not a plain file`);
}

async function statOr(path: string) {
  try {
    return await stat(path);
  } catch (error) {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw systemError(`Cannot read ${path}`, error);
  }
}
