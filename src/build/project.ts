import { stat } from "node:fs/promises";
import { basename, dirname, relative, resolve, sep } from "node:path";
import { DavitError, hasCode, systemCode, systemError } from "../errors.ts";
import { Root } from "../root.ts";

/** A project that is built: its directory, and its convox.yml. */
export class Project {
  readonly root: Root;
  readonly #place: Root;
  readonly #name: string;
  /** The directory as the user named it, for messages; undefined on a server, which does not tell its paths. */
  readonly #dir: string | undefined;

  private constructor(root: Root, place: Root, name: string, dir?: string) {
    this.root = root;
    this.#place = place;
    this.#name = name;
    this.#dir = dir;
  }

  /** A project that came from elsewhere: its convox.yml lies in its directory. */
  static async open(dir: string, manifest: string): Promise<Project> {
    const root = await Root.open(dir);
    return new Project(root, root, manifest);
  }

  /** A project of the user's own: the command line may name a convox.yml that lies elsewhere. */
  static async openOwn(dir: string, manifest: string): Promise<Project> {
    await requireDirectory(dir);
    const root = await Root.open(dir);
    const path = resolve(dir, manifest);
    const inside = relative(resolve(dir), path).split(sep)[0] !== "..";
    return inside
      ? new Project(root, root, manifest, dir)
      : new Project(root, await Root.open(dirname(path)).catch(() => root), basename(path), dir);
  }

  /** The text of convox.yml. */
  async readManifest(): Promise<string> {
    return await this.#place.readText(this.#name).catch((error: unknown) => {
      if (!hasCode(error, "not-found")) throw error;
      const what = this.#dir === undefined ? "Cannot build" : `Cannot build ${this.#dir}`;
      throw new DavitError("not-found", `${what}: no such file: ${this.#place.show(this.#name)}`, {
        cause: error,
        hint: "`davit init` writes one, `-m FILE` names another",
      });
    });
  }
}

async function requireDirectory(dir: string): Promise<void> {
  const info = await stat(dir).catch((error: unknown) => {
    if (systemCode(error) === "ENOENT" || systemCode(error) === "ENOTDIR") return undefined;
    throw systemError(`Cannot read ${dir}`, error);
  });
  const hint = "name the project's directory";
  if (!info) throw new DavitError("not-found", `Cannot build ${dir}: there is no such directory`, { hint });
  if (!info.isDirectory())
    throw new DavitError("invalid", `Cannot build ${dir}: it is not a directory`, { hint });
}
