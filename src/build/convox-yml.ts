import type { Document, LineCounter, Node, Pair, YAMLMap } from "yaml";
import { DavitError } from "../errors.ts";

/** One mistake in a project's files. */
export interface Mistake {
  file: string;
  line: number;
  message: string;
}

export interface Service {
  name: string;
  /** How to build it; undefined for a service that names an image. */
  build: { path: string; manifest: string; args: Record<string, string> } | undefined;
  image: string | undefined;
  command: string;
  port: string;
  /** Variables as declared: `NAME`, `NAME=default` or `*`. */
  environment: string[];
  line: number;
}

export interface ConvoxYml {
  text: string;
  services: Service[];
  environment: string[];
}

type Yaml = typeof import("yaml");

/**
 * Reads convox.yml. `${NAME}` is replaced first, everywhere; unknown keys are
 * left alone; every mistake is found, with its line.
 */
export async function parseConvoxYml(
  text: string,
  file: string,
  env: Record<string, string>,
): Promise<{ manifest: ConvoxYml; mistakes: Mistake[] }> {
  const yaml = await import("yaml");
  const lines = new yaml.LineCounter();
  const document = yaml.parseDocument(interpolate(text, env), {
    merge: true,
    lineCounter: lines,
    prettyErrors: false,
  });
  const reader = new Reader(yaml, lines, file);
  for (const error of document.errors)
    reader.mistake(lines.linePos(error.pos[0]).line, error.message.split("\n")[0] ?? "bad YAML");
  const manifest = document.errors.length > 0 ? { services: [], environment: [] } : reader.document(document);
  return { manifest: { text, ...manifest }, mistakes: reader.mistakes };
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

export function interpolate(text: string, env: Record<string, string>): string {
  return text.replace(/\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) =>
    Object.hasOwn(env, name) ? (env[name] ?? "") : "",
  );
}

/** Declared variables without a default that have no value, sorted. */
export function missingEnv(manifest: ConvoxYml, env: Record<string, string>): string[] {
  const declared = [...manifest.environment, ...manifest.services.flatMap((service) => service.environment)];
  const required = declared.filter((item) => item !== "*" && !item.includes("="));
  return [...new Set(required)].filter((name) => !Object.hasOwn(env, name)).sort();
}

const SERVICE_NAME = /^[a-z][a-z0-9-]{0,62}$/;

class Reader {
  readonly mistakes: Mistake[] = [];
  readonly #yaml: Yaml;
  readonly #lines: LineCounter;
  readonly #file: string;

  constructor(yaml: Yaml, lines: LineCounter, file: string) {
    this.#yaml = yaml;
    this.#lines = lines;
    this.#file = file;
  }

  mistake(line: number, message: string): void {
    this.mistakes.push({ file: this.#file, line, message });
  }

  document(document: Document.Parsed): Omit<ConvoxYml, "text"> {
    const root = document.contents;
    if (!this.#yaml.isMap(root)) {
      this.mistake(1, "it is not a mapping with `services`");
      return { services: [], environment: [] };
    }
    const services = this.#map(document, root, "services");
    if (!services) this.mistake(1, "it names no services");
    else if (services.items.length === 0) this.mistake(this.#line(services), "it names no services");
    return {
      services: (services?.items ?? []).flatMap((pair) => this.#service(document, pair)),
      environment: this.#environment(this.#value(document, root, "environment")),
    };
  }

  #service(document: Document, pair: Pair): Service[] {
    const name = String(this.#yaml.isScalar(pair.key) ? pair.key.value : pair.key);
    const line = this.#line(pair.key);
    if (!SERVICE_NAME.test(name)) {
      this.mistake(
        line,
        `service name ${JSON.stringify(name.slice(0, 80))} is not like a-z, then a-z, 0-9 and -, 63 at most`,
      );
      return [];
    }
    const node = this.#resolve(document, pair.value);
    if (node !== null && node !== undefined && !this.#isNull(node) && !this.#yaml.isMap(node)) {
      this.mistake(line, `service ${name} is not a mapping`);
      return [];
    }
    const map = this.#yaml.isMap(node) ? node : undefined;
    const image = this.#text(document, map, "image");
    return [
      {
        name,
        image,
        build: image === undefined ? this.#build(document, map) : undefined,
        command: this.#text(document, map, "command") ?? "",
        port: this.#port(document, map),
        environment: this.#environment(map && this.#value(document, map, "environment")),
        line,
      },
    ];
  }

  #build(document: Document, service: YAMLMap | undefined): NonNullable<Service["build"]> {
    const node = service && this.#value(document, service, "build");
    const beside = this.#text(document, service, "manifest") ?? "Dockerfile";
    if (node === undefined || this.#isNull(node)) return { path: ".", manifest: beside, args: {} };
    if (this.#yaml.isScalar(node)) {
      if (typeof node.value === "string" && node.value !== "")
        return { path: node.value, manifest: beside, args: {} };
      this.mistake(this.#line(node), `unknown type for service build: ${typeof node.value}`);
      return { path: ".", manifest: beside, args: {} };
    }
    if (!this.#yaml.isMap(node)) {
      this.mistake(this.#line(node), "unknown type for service build: list");
      return { path: ".", manifest: beside, args: {} };
    }
    return {
      path: this.#text(document, node, "path") || ".",
      manifest: this.#text(document, node, "manifest") || beside,
      args: this.#args(document, node),
    };
  }

  /** `args` as a mapping, or as a list of `K=V`. */
  #args(document: Document, build: YAMLMap): Record<string, string> {
    const node = this.#value(document, build, "args");
    if (node === undefined || this.#isNull(node)) return {};
    const plain: unknown = node.toJS(document);
    const pairs = Array.isArray(plain)
      ? plain.map(splitPair)
      : Object.entries(typeof plain === "object" && plain ? plain : {});
    const args: Record<string, string> = {};
    for (const [name, value] of pairs) {
      if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
        this.mistake(this.#line(node), `build arg ${JSON.stringify(name)} has no usable name`);
      else args[name] = value === null || value === undefined ? "" : String(value);
    }
    return args;
  }

  #environment(node: Node | undefined): string[] {
    if (node === undefined || this.#isNull(node)) return [];
    if (this.#yaml.isMap(node))
      return node.items.map(({ key, value }) =>
        this.#isNull(value) ? String(key) : `${String(key)}=${String(value)}`,
      );
    if (this.#yaml.isSeq(node))
      return node.items.map((item) => String(this.#yaml.isScalar(item) ? item.value : item));
    this.mistake(this.#line(node), "environment is neither a list nor a mapping");
    return [];
  }

  #port(document: Document, service: YAMLMap | undefined): string {
    const node = service && this.#value(document, service, "port");
    if (node === undefined || this.#isNull(node)) return "";
    if (this.#yaml.isMap(node)) {
      const port = this.#text(document, node, "port") ?? "";
      const scheme = this.#text(document, node, "scheme");
      return scheme ? `${scheme}:${port}` : port;
    }
    const text = String(this.#yaml.isScalar(node) ? node.value : "");
    if (!/^([a-z]+:)?\d{1,5}$/.test(text))
      this.mistake(this.#line(node), `port ${JSON.stringify(text)} is not a number`);
    return text;
  }

  #text(document: Document, map: YAMLMap | undefined, key: string): string | undefined {
    const node = map && this.#value(document, map, key);
    if (node === undefined || this.#isNull(node)) return undefined;
    if (this.#yaml.isScalar(node)) return String(node.value);
    if (key === "command" && this.#yaml.isSeq(node))
      return node.items.map((item) => String(this.#yaml.isScalar(item) ? item.value : item)).join(" ");
    this.mistake(this.#line(node), `${key} is not plain text`);
    return undefined;
  }

  #map(document: Document, map: YAMLMap, key: string): YAMLMap | undefined {
    const node = this.#value(document, map, key);
    if (node === undefined || this.#isNull(node)) return undefined;
    if (this.#yaml.isMap(node)) return node;
    this.mistake(this.#line(node), `${key} is not a mapping`);
    return undefined;
  }

  /** A key's value, through aliases and merged (`<<`) mappings. */
  #value(document: Document, map: YAMLMap, key: string): Node | undefined {
    const node = this.#resolve(document, map.get(key, true));
    if (node !== undefined) return node;
    for (const pair of map.items) {
      if (!this.#isMerge(pair.key)) continue;
      const merged = this.#resolve(document, pair.value);
      const sources = this.#yaml.isSeq(merged) ? merged.items : [merged];
      for (const source of sources) {
        const from = this.#resolve(document, source);
        const found = this.#yaml.isMap(from) ? this.#value(document, from, key) : undefined;
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  /** The library reads `<<` as a symbol of its own. */
  #isMerge(key: unknown): boolean {
    return this.#yaml.isScalar(key) && (key.value === "<<" || typeof key.value === "symbol");
  }

  #resolve(document: Document, value: unknown): Node | undefined {
    if (this.#yaml.isAlias(value)) return value.resolve(document);
    return this.#yaml.isNode(value) ? value : undefined;
  }

  #isNull(node: unknown): boolean {
    return node === null || node === undefined || (this.#yaml.isScalar(node) && node.value === null);
  }

  #line(node: unknown): number {
    const start = this.#yaml.isNode(node) ? node.range?.[0] : undefined;
    return start === undefined ? 1 : this.#lines.linePos(start).line;
  }
}

function splitPair(item: unknown): [string, unknown] {
  const text = String(item);
  const equals = text.indexOf("=");
  return equals < 0 ? [text, ""] : [text.slice(0, equals), text.slice(equals + 1)];
}
