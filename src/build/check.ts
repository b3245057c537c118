import { join } from "node:path";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { parseConvoxYml, type Service, variablesIn } from "../manifest/convox-yml.ts";
import { faultsOf } from "../manifest/rules.ts";
import type { Mistake } from "../manifest/yaml-reader.ts";
import type { Root } from "../root.ts";
import { parseBuildArg } from "./build-args.ts";
import { openContext, walkContext } from "./context.ts";
import { parseDockerfile } from "./dockerfile.ts";
import { Project } from "./project.ts";

export interface CheckReport {
  services: {
    name: string;
    path: string;
    manifest: string;
    args: Record<string, string>;
    image: string;
    command: string;
    port: string;
    environment: string[];
  }[];
  context: { files: number; bytes: number };
  errors: Mistake[];
}

/** Reads everything a build would read, builds nothing, and collects every mistake instead of stopping at the first. */
export async function checkProject(dir: string, file: string, buildArgs: string[]): Promise<CheckReport> {
  const project = await Project.openOwn(dir, file);
  const text = await project.readManifest();
  const given = buildArgs.map(parseBuildArg);
  const env = Object.fromEntries(
    given.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
  );
  const { manifest, mistakes } = await parseConvoxYml(text, file, env);
  if (variablesIn(text).every((name) => Object.hasOwn(env, name)))
    for (const fault of faultsOf(manifest)) mistakes.push({ file, ...fault });
  const declared = new Set<string>();
  const context = { files: 0, bytes: 0 };
  const seen = new Set<string>();
  for (const service of manifest.services)
    await checkService(project.root, file, service, { mistakes, declared, context, seen });
  if (mistakes.length === 0)
    for (const { name } of given)
      if (!declared.has(name))
        mistakes.push({
          file,
          line: 1,
          message: `build arg ${name} has no effect: no Dockerfile declares ARG ${name}`,
        });
  return { services: manifest.services.map(plain), context, errors: mistakes };
}

interface Findings {
  mistakes: Mistake[];
  declared: Set<string>;
  context: CheckReport["context"];
  seen: Set<string>;
}

async function checkService(dir: Root, file: string, service: Service, found: Findings): Promise<void> {
  if (!service.build) return;
  const { path, manifest } = service.build;
  const dockerfile = join(path, manifest);
  let root: Root;
  let text: string;
  try {
    root = await dir.directory(path);
    text = await root.readText(manifest);
  } catch (error) {
    const why = hasCode(error, "not-found") ? `there is no ${dir.show(dockerfile)}` : reasonOf(error);
    found.mistakes.push({ file, line: service.line, message: `service ${service.name}: ${why}` });
    return;
  }
  const parsed = parseDockerfile(text);
  for (const name of parsed.args) found.declared.add(name);
  if (!found.seen.has(dockerfile))
    for (const mistake of parsed.mistakes) found.mistakes.push({ file: dockerfile, ...mistake });
  found.seen.add(dockerfile);
  await measure(root, manifest, path, found);
}

/** Adds up what would be sent; a directory that several services share counts once. */
async function measure(root: Root, manifest: string, path: string, found: Findings): Promise<void> {
  if (found.seen.has(`context ${path}`)) return;
  found.seen.add(`context ${path}`);
  try {
    for await (const item of walkContext(await openContext(root, manifest))) {
      if (item.type !== "file") continue;
      found.context.files++;
      found.context.bytes += item.size;
    }
  } catch (error) {
    if (!(error instanceof DavitError)) throw error;
    const line = Number(/line (\d+)/.exec(error.message)?.[1] ?? 1);
    found.mistakes.push({ file: join(path, ".dockerignore"), line, message: reasonOf(error) });
  }
}

function plain(service: Service): CheckReport["services"][number] {
  const { name, build, image, command, port, environment } = service;
  return {
    ...{ name, path: build?.path ?? "", manifest: build?.manifest ?? "", args: build?.args ?? {} },
    ...{ image: image ?? "", command, port, environment },
  };
}
