import { readdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { DavitError, systemCode, systemError } from "../errors.ts";
import { Root } from "../root.ts";
import { anyOf, trimEnd } from "../scanner.ts";
import { instructionsOf } from "./dockerfile-instructions.ts";

export interface FoundService {
  name: string;
  path: string;
  port: string | undefined;
}

/** Directories that hold other people's code. */
const SKIPPED = new Set(["node_modules", "vendor", ".git", "dist", "target"]);
const DEPTH = 2;

/** Writes a convox.yml with a service for each Dockerfile it finds; an existing file is left alone. */
export async function initProject(dir: string): Promise<{ path: string; services: FoundService[] }> {
  const services = await findServices(dir);
  if (services.length === 0)
    throw new DavitError("not-found", `Cannot write convox.yml: there is no Dockerfile in ${dir}`, {
      hint: "write a Dockerfile first",
    });
  const path = join(dir, "convox.yml");
  try {
    await writeFile(path, render(services), { flag: "wx" });
  } catch (error) {
    if (systemCode(error) === "EEXIST")
      throw new DavitError("exists", `Cannot write ${path}: it is there already`, {
        cause: error,
        hint: "`davit check` reads it",
      });
    throw systemError(`Cannot write ${path}`, error);
  }
  return { path, services };
}

async function findServices(dir: string): Promise<FoundService[]> {
  const found: FoundService[] = [];
  const root = await Root.open(dir);
  for (const path of await dockerfileDirs(dir, "", DEPTH)) {
    const name = serviceName(path === "" ? "web" : basename(path), found);
    found.push({
      name,
      path: path === "" ? "." : `./${path}`,
      port: exposedPort(await root.readText(join(path, "Dockerfile"))),
    });
  }
  return found;
}

async function dockerfileDirs(root: string, path: string, depth: number): Promise<string[]> {
  const entries = await readdir(join(root, path), { withFileTypes: true }).catch((error: unknown) => {
    throw systemError(`Cannot read ${join(root, path)}`, error);
  });
  const dirs = entries.some((entry) => entry.name === "Dockerfile" && !entry.isDirectory()) ? [path] : [];
  if (depth === 0) return dirs;
  const below = entries.filter(
    (entry) => entry.isDirectory() && !SKIPPED.has(entry.name) && !entry.name.startsWith("."),
  );
  for (const { name } of below.sort((a, b) => (a.name < b.name ? -1 : 1)))
    dirs.push(...(await dockerfileDirs(root, path === "" ? name : `${path}/${name}`, depth - 1)));
  return dirs;
}

function serviceName(text: string, taken: FoundService[]): string {
  const clean =
    trimEnd(
      text
        .toLowerCase()
        .replace(/[^a-z0-9-]+/g, "-")
        .replace(/^[^a-z]+/, ""),
      anyOf("-"),
    ) || "service";
  let name = clean;
  for (let i = 2; taken.some((service) => service.name === name); i++) name = `${clean}-${i}`;
  return name;
}

function exposedPort(dockerfile: string): string | undefined {
  for (const { keyword, words } of instructionsOf(dockerfile))
    if (keyword === "EXPOSE") return /^\d{1,5}/.exec(words[0] ?? "")?.[0];
  return undefined;
}

function render(services: FoundService[]): string {
  const blocks = services.map(({ name, path, port }) =>
    [`  ${name}:`, `    build: ${path}`, ...(port ? [`    port: ${port}`] : [])].join("\n"),
  );
  return `services:\n${blocks.join("\n")}\n`;
}
