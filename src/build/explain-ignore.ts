import { relative, resolve, sep } from "node:path";
import { DavitError } from "../errors.ts";
import { loadConvoxYml } from "../manifest/convox-yml.ts";
import type { Root } from "../root.ts";
import { openContext } from "./context.ts";
import type { IgnoreRule, ParentMatches } from "./dockerignore.ts";
import { makePlan } from "./plan.ts";
import { Project } from "./project.ts";

/** Whether a build gets a file, and which rule says so; none is that nothing keeps it out. */
export interface Explanation {
  /** The build's directory. */
  context: string;
  path: string;
  exists: boolean;
  kept: boolean;
  rule?: IgnoreRule;
}

/** What the ignore rules of the context at `place` make of a path; undefined where it lies outside of the context. */
async function explainIgnore(
  root: Root,
  place: string,
  dockerfile: string,
  path: string,
): Promise<Explanation | undefined> {
  const inside = relative(place, resolve(path)).split(sep).join("/");
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
    ...{ context: place, path: inside, exists: await root.has(inside), kept: !verdict.ignored },
    ...(verdict.rule ? { rule: verdict.rule } : {}),
  };
}

/** The same for every directory that a project's services are built from. */
export async function explainProject(dir: string, manifest: string, path: string): Promise<Explanation[]> {
  const project = await Project.openOwn(dir, manifest);
  const { builds } = makePlan(await loadConvoxYml(await project.readManifest(), manifest, {}));
  const places = new Map(builds.map((build) => [resolve(dir, build.path), build]));
  const found = await Promise.all(
    [...places].map(async ([place, build]) =>
      explainIgnore(await project.root.directory(build.path), place, build.manifest, path),
    ),
  );
  const inside = found.filter((explanation) => explanation !== undefined);
  if (inside.length > 0) return inside;
  throw new DavitError(
    "not-found",
    `Cannot explain ${path}: no service is built from a directory that holds it`,
  );
}
