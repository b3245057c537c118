import type { Node, Pair, YAMLMap } from "yaml";
import { DavitError } from "../errors.ts";
import { readInThread } from "./read-thread.ts";
import { linkOf, type Resource, readResources } from "./resources.ts";
import { type Running, readRunning } from "./running.ts";
import { readTimers, type Timer } from "./timers.ts";
import { type Mistake, YamlReader } from "./yaml-reader.ts";

export interface Service {
  name: string;
  /** How to build it; undefined for a service that names an image. */
  build: { path: string; manifest: string; args: Record<string, string> } | undefined;
  image: string | undefined;
  /** As a shell would read it; "" is the image's own. */
  command: string;
  /** The same; with it, the image's command counts no more. */
  entrypoint: string;
  port: string;
  /** Variables as declared: `NAME`, `NAME=default` or `*`. */
  environment: string[];
  /** How it runs. */
  running: Running;
  line: number;
}

export interface ConvoxYml {
  text: string;
  services: Service[];
  environment: string[];
  resources: Resource[];
  timers: Timer[];
}

/** A parsed manifest, `said`, and the mistakes in it. */
export interface Manifest {
  said: Omit<ConvoxYml, "text">;
  mistakes: Mistake[];
}

/** A longer manifest is refused, in characters, also after `${NAME}` is replaced. */
const MAX_LENGTH = 64 * 1024;
/** The longest manifest that is read on this thread, in characters: reading it takes no noticeable time. */
const SHORT = 2 * 1024;

/**
 * Reads convox.yml. `${NAME}` is replaced first, everywhere; unknown keys are
 * left alone; every mistake is found, with its line.
 */
export async function parseConvoxYml(
  text: string,
  file: string,
  env: Record<string, string>,
): Promise<{ manifest: ConvoxYml; mistakes: Mistake[] }> {
  const whole = text.length > MAX_LENGTH ? text : interpolate(text, env);
  if (whole.length > MAX_LENGTH)
    throw new DavitError("invalid", `Cannot use ${file}: it is longer than ${MAX_LENGTH} characters`);
  const task = { text: whole, file };
  const { said, mistakes } =
    whole.length <= SHORT ? await readConvoxYml(whole, file) : await readInThread(task);
  return { manifest: { text, ...said }, mistakes };
}

/** Reads a manifest on this thread, with nothing replaced in it. */
export async function readConvoxYml(text: string, file: string): Promise<Manifest> {
  const reader = await YamlReader.open(text, file).catch((cause: unknown) => {
    if (cause instanceof RangeError)
      throw new DavitError("invalid", `Cannot use ${file}: it is nested too deeply`, { cause });
    throw cause;
  });
  const broken = reader.mistakes.length > 0;
  return { said: broken ? NOTHING : readDocument(reader), mistakes: reader.mistakes };
}

/** As `parseConvoxYml`, and any mistake is an error. */
export async function loadConvoxYml(
  text: string,
  file: string,
  env: Record<string, string>,
): Promise<ConvoxYml> {
  const { manifest, mistakes } = await parseConvoxYml(text, file, env);
  throwMistakes(mistakes);
  const missing = missingEnv(manifest, env);
  if (missing.length > 0)
    throw new DavitError("invalid", `Cannot use ${file}: required env: ${missing.join(", ")}`, {
      hint: `set them with \`davit env set ${missing.map((name) => `${name}=…`).join(" ")}\``,
    });
  return manifest;
}

export function throwMistakes(mistakes: Mistake[]): void {
  const [first] = mistakes;
  if (!first) return;
  const more = mistakes.length > 1 ? ` (and ${mistakes.length - 1} more)` : "";
  throw new DavitError("invalid", `Cannot use ${first.file}: line ${first.line}: ${first.message}${more}`, {
    hint: "`davit check` lists every mistake",
  });
}

const VARIABLE = /\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g;

/** The names of all variables, `${NAME}`, in a manifest's text. */
export function variablesIn(text: string): string[] {
  return [...text.matchAll(VARIABLE)].map(([, name = ""]) => name);
}

/** Replaces `${NAME}`; stops replacing where the result is too long to be read: a short text can name a long value many times. */
export function interpolate(text: string, env: Record<string, string>): string {
  let room = 2 * MAX_LENGTH - text.length;
  return text.replace(VARIABLE, (_, name: string) => {
    const value = Object.hasOwn(env, name) ? (env[name] ?? "") : "";
    const shown = room < 0 ? "" : value;
    room -= value.length;
    return shown;
  });
}

/** Declared variables without a default that have no value, sorted. */
export function missingEnv(manifest: ConvoxYml, env: Record<string, string>): string[] {
  const declared = [...manifest.environment, ...manifest.services.flatMap((service) => service.environment)];
  const required = declared.filter((item) => item !== "*" && !item.includes("="));
  return [...new Set(required)].filter((name) => !Object.hasOwn(env, name)).sort();
}

const NOTHING: Omit<ConvoxYml, "text"> = { services: [], environment: [], resources: [], timers: [] };
/** Names become tags, labels and hosts. */
export const SERVICE_NAME = /^[a-z][a-z0-9-]{0,62}$/;

function readDocument(reader: YamlReader): Omit<ConvoxYml, "text"> {
  const root = reader.asMap(reader.contents);
  if (!root) {
    reader.mistake(1, "it is not a mapping with `services`");
    return NOTHING;
  }
  const services = reader.map(root, "services");
  if (!services) reader.mistake(1, "it names no services");
  else if (services.items.length === 0) reader.mistake(reader.line(services), "it names no services");
  const whole = {
    services: (services?.items ?? []).flatMap((pair) => readService(reader, pair)),
    environment: readEnvironment(reader, reader.value(root, "environment")),
    resources: readResources(reader, root),
    timers: readTimers(reader, root),
  };
  checkNames(reader, whole);
  return whole;
}

/** What is spoken of must be there. */
function checkNames(reader: YamlReader, { services, resources, timers }: Omit<ConvoxYml, "text">): void {
  const known = {
    services: new Set(services.map(({ name }) => name)),
    resources: new Set(resources.map(({ name }) => name)),
  };
  for (const { name, line, running } of services)
    for (const { resource } of running.resources.map(linkOf))
      if (!known.resources.has(resource))
        reader.mistake(line, `service ${name} wants resource ${resource}, which is not there`);
  for (const { name, line, service } of timers)
    if (!known.services.has(service))
      reader.mistake(line, `timer ${name} wants service ${service || '""'}, which is not there`);
}

function readService(reader: YamlReader, pair: Pair): Service[] {
  const name = reader.key(pair.key);
  const line = reader.line(pair.key);
  if (!SERVICE_NAME.test(name)) {
    reader.mistake(
      line,
      `service name ${JSON.stringify(name.slice(0, 80))} is not like a-z, then a-z, 0-9 and -, 63 at most`,
    );
    return [];
  }
  const node = reader.resolve(pair.value);
  const map = reader.asMap(node);
  if (!map && !reader.isNull(node)) {
    reader.mistake(line, `service ${name} is not a mapping`);
    return [];
  }
  const image = reader.text(map, "image");
  return [
    {
      name,
      image,
      build: image === undefined ? readBuild(reader, map) : undefined,
      command: reader.text(map, "command") ?? "",
      entrypoint: reader.text(map, "entrypoint") ?? "",
      port: readPort(reader, map),
      environment: readEnvironment(reader, map && reader.value(map, "environment")),
      running: readRunning(reader, map),
      line,
    },
  ];
}

function readBuild(reader: YamlReader, service: YAMLMap | undefined): NonNullable<Service["build"]> {
  const node = service && reader.value(service, "build");
  const beside = reader.text(service, "manifest") ?? "Dockerfile";
  if (node === undefined || reader.isNull(node)) return { path: ".", manifest: beside, args: {} };
  const map = reader.asMap(node);
  if (map)
    return {
      path: reader.text(map, "path") || ".",
      manifest: reader.text(map, "manifest") || beside,
      args: readArgs(reader, map),
    };
  const path = reader.asScalar(node);
  if (typeof path === "string" && path !== "") return { path, manifest: beside, args: {} };
  const type = path === undefined ? "list" : typeof path;
  reader.mistake(reader.line(node), `unknown type for service build: ${type}`);
  return { path: ".", manifest: beside, args: {} };
}

/** `args` as a mapping, or as a list of `K=V`. */
function readArgs(reader: YamlReader, build: YAMLMap): Record<string, string> {
  const node = reader.value(build, "args");
  if (node === undefined || reader.isNull(node)) return {};
  const map = reader.asMap(node);
  const pairs = map
    ? reader.pairs(map)
    : reader.asScalar(node) === undefined
      ? reader.texts(node).map(splitPair)
      : [];
  const args: Record<string, string> = {};
  for (const [name, value] of pairs) {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      reader.mistake(reader.line(node), `build arg ${JSON.stringify(name)} has no usable name`);
    else args[name] = value === null || value === undefined ? "" : String(value);
  }
  return args;
}

function readEnvironment(reader: YamlReader, node: Node | undefined): string[] {
  if (node === undefined || reader.isNull(node)) return [];
  const map = reader.asMap(node);
  if (map) return reader.pairs(map).map(([key, value]) => (value === null ? key : `${key}=${value}`));
  if (reader.asScalar(node) === undefined) return reader.texts(node);
  reader.mistake(reader.line(node), "environment is neither a list nor a mapping");
  return [];
}

function readPort(reader: YamlReader, service: YAMLMap | undefined): string {
  const node = service && reader.value(service, "port");
  if (node === undefined || reader.isNull(node)) return "";
  const map = reader.asMap(node);
  if (map) {
    const port = reader.text(map, "port") ?? "";
    const scheme = reader.text(map, "scheme");
    return scheme ? `${scheme}:${port}` : port;
  }
  const text = String(reader.asScalar(node) ?? "");
  if (!/^([a-z]+:)?\d{1,5}$/.test(text))
    reader.mistake(reader.line(node), `port ${JSON.stringify(text)} is not a number`);
  return text;
}

function splitPair(text: string): [string, unknown] {
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}
