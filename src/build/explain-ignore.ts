import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, relative, resolve, sep } from "node:path";
import { DavitError, systemError } from "../errors.ts";
import { loadConvoxYml } from "../manifest/convox-yml.ts";
import { openContext } from "./context.ts";
import type { IgnoreRule, ParentMatches } from "./dockerignore.ts";
import { makePlan } from "./plan.ts";

/** Whether a build gets a file, and which rule says so; none is that nothing keeps it out. */
export interface Explanation {
  /** The build's directory. */
  context: string;
  path: string;
  exists: boolean;
  kept: boolean;
  rule?: IgnoreRule;
}

/** What a context's ignore rules make of a path; undefined where it lies outside of the context. */
export async function explainIgnore(
  root: string,
  dockerfile: string,
  path: string,
): Promise<Explanation | undefined> {
  const inside = relative(root, resolve(path)).split(sep).join("/");
  if (inside === "" || inside === ".." || inside.startsWith("../")) return undefined;
  const { rules } = await openContext(root, dockerfile);
  let matches: ParentMatches = [];
  let verdict = rules.judge("");
  const names = inside.split("/");
  for (let i = 1; i <= names.length; i++) {
    verdict = rules.judge(names.slice(0, i).join("/"), matches);
    matches = verdict.matches;
  }
  return {
    ...{ context: root, path: inside, exists: existsSync(join(root, inside)), kept: !verdict.ignored },
    ...(verdict.rule ? { rule: verdict.rule } : {}),
  };
}

/** The same for every directory that a project's services are built from. */
export async function explainProject(dir: string, manifest: string, path: string): Promise<Explanation[]> {
  const text = await readFile(join(dir, manifest), "utf8").catch((error: unknown) => {
    throw systemError(`Cannot read ${join(dir, manifest)}`, error);
  });
  const { builds } = makePlan(await loadConvoxYml(text, manifest, {}));
  const roots = new Map(builds.map((build) => [resolve(dir, build.path), build.manifest]));
  const found = await Promise.all(
    [...roots].map(([root, dockerfile]) => explainIgnore(root, dockerfile, path)),
  );
  const inside = found.filter((explanation) => explanation !== undefined);
  if (inside.length > 0) return inside;
  throw new DavitError(
    "not-found",
    `Cannot explain ${path}: no service is built from a directory that holds it`,
  );
}
