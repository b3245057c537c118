import { existsSync } from "node:fs";
import { realpath } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Service } from "../manifest/convox-yml.ts";
import type { Resource } from "../manifest/resources.ts";
import { parseVolume } from "../manifest/volume.ts";
import { fullName, parseReference } from "../oci/reference.ts";
import {
  type Consent,
  GUARDED,
  HOST_PATHS,
  HOST_PORTS,
  isWithin,
  type PathConsent,
  RESOURCE_IMAGES,
  UNLIMITED_MEMORY,
} from "./consent.ts";

/** Something of the node that a service wants and the rack has not given. */
export interface Lack {
  /** `service web mounts /srv/data of the host` */
  message: string;
  /** The parameter that would give it, and what to add to it. */
  param: string;
  entry: string;
}

export interface Asking {
  app: string;
  /** With the scale that somebody has set, as they are to run. */
  services: readonly Service[];
  /** Resources whose images the rack must consent to. */
  resources?: readonly Resource[];
  /** Directories of this node that hold secrets of the rack. */
  secret: readonly string[];
}

/** Lists all that an app's services want of the nodes without the rack's consent. */
export async function lackingConsent(
  { app, services, resources = [], secret }: Asking,
  consent: Consent,
): Promise<Lack[]> {
  const paths = consent.paths.filter((one) => one.app === "" || one.app === app);
  const guarded = await Promise.all([...GUARDED.filter(isHere), ...secret].map(realPath));
  const found = await Promise.all(
    services.map(async (service) => [
      ...(await lackingPaths(app, service, paths, guarded)),
      ...lackingPorts(app, service, consent),
      ...lackingMemory(app, service, consent),
    ]),
  );
  return [...found.flat(), ...resources.flatMap((one) => lackingImage(one, consent))];
}

/** A resource's own image needs consent: the engine has the images of all apps, and pulls others from wherever it can reach. */
function lackingImage({ name, image }: Resource, { images }: Consent): Lack[] {
  const entry = image === undefined ? undefined : fullName(parseReference(image));
  if (entry === undefined || images.includes(entry)) return [];
  return [{ message: `resource ${name} runs image ${entry}`, param: RESOURCE_IMAGES, entry }];
}

/** The engine may be on another machine: its socket is guarded even where this machine has none. */
function isHere(path: string): boolean {
  return path === GUARDED[0] || existsSync(path);
}

async function lackingPaths(
  app: string,
  { name, running }: Service,
  given: readonly PathConsent[],
  guarded: readonly string[],
): Promise<Lack[]> {
  const named = await Promise.all(given.map(({ path }) => realPath(path)));
  const wanted = running.volumes.map(parseVolume).filter(({ kind }) => kind === "host");
  const found: Lack[] = [];
  for (const { source, readOnly } of wanted) {
    const mine = given.filter(({ path }) => path === source);
    if (mine.length === 0) found.push(lackOf(app, name, source, readOnly));
    else if (!readOnly && mine.every((one) => one.readOnly))
      found.push({ ...lackOf(app, name, source), message: mayNotWrite(name, source) });
    const whole = await realPath(source);
    const reached = guarded.filter(
      (path) => isWithin(path, whole) && path !== whole && !named.includes(path),
    );
    found.push(
      ...reached.map((path) => ({ ...lackOf(app, name, path), message: reaches(name, source, path) })),
    );
  }
  return found;
}

function lackOf(app: string, service: string, path: string, readOnly = false): Lack {
  const entry = `${app}:${path}${readOnly ? ":ro" : ""}`;
  return { message: `service ${service} mounts ${path} of the host`, param: HOST_PATHS, entry };
}

function reaches(service: string, source: string, path: string): string {
  return `service ${service} mounts ${source} of the host, which reaches ${path}`;
}

function mayNotWrite(service: string, source: string): string {
  return `service ${service} mounts ${source} of the host to write there (${source} may be read: add :ro to the volume)`;
}

function lackingPorts(app: string, { name, running }: Service, { ports }: Consent): Lack[] {
  if (!running.agent) return [];
  return running.ports
    .filter((port) => {
      const [number, protocol = "tcp"] = port.split("/");
      return !ports.some(
        (one) =>
          (one.app === "" || one.app === app) &&
          one.protocol === protocol &&
          Number(number) >= one.first &&
          Number(number) <= one.last,
      );
    })
    .map((port) => ({
      message: `service ${name} publishes port ${port} of the host`,
      param: HOST_PORTS,
      entry: `${app}:${port}`,
    }));
}

function lackingMemory(app: string, { name, running }: Service, { unlimited }: Consent): Lack[] {
  if (running.scale.memory > 0 || unlimited.includes("") || unlimited.includes(app)) return [];
  const message = `service ${name} has no limit to its memory`;
  return [{ message, param: UNLIMITED_MEMORY, entry: app }];
}

/** A path with its links resolved, as far as this machine has it. */
async function realPath(path: string): Promise<string> {
  for (let there = path, rest = ""; ; ) {
    const real = await realpath(there).catch(() => undefined);
    if (real !== undefined) return rest === "" ? real : join(real, rest);
    if (there === "/") return path;
    rest = join(there.slice(there.lastIndexOf("/") + 1), rest);
    there = dirname(there);
  }
}
