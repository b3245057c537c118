import type { Document, LineCounter, Node, YAMLMap } from "yaml";
import { shellQuote } from "../shell-words.ts";

/** One mistake in a project's files. */
export interface Mistake {
  file: string;
  line: number;
  message: string;
}

/** What a list of words may stand for, too. */
const COMMANDS = ["command", "entrypoint"];

type Yaml = typeof import("yaml");

/** Reads values out of a YAML document as what they should be. What is not so is a mistake, with its line, and left out. */
export class YamlReader {
  readonly mistakes: Mistake[] = [];
  readonly document: Document.Parsed;
  readonly #yaml: Yaml;
  readonly #lines: LineCounter;
  readonly #file: string;

  private constructor(yaml: Yaml, lines: LineCounter, file: string, document: Document.Parsed) {
    this.#yaml = yaml;
    this.#lines = lines;
    this.#file = file;
    this.document = document;
  }

  static async open(text: string, file: string): Promise<YamlReader> {
    const yaml = await import("yaml");
    const lines = new yaml.LineCounter();
    const options = { merge: true, lineCounter: lines, prettyErrors: false };
    const reader = new YamlReader(yaml, lines, file, yaml.parseDocument(text, options));
    for (const error of reader.document.errors)
      reader.mistake(lines.linePos(error.pos[0]).line, error.message.split("\n")[0] ?? "bad YAML");
    return reader;
  }

  mistake(line: number, message: string): void {
    this.mistakes.push({ file: this.#file, line, message });
  }

  line(node: unknown): number {
    const start = this.#yaml.isNode(node) ? node.range?.[0] : undefined;
    return start === undefined ? 1 : this.#lines.linePos(start).line;
  }

  isNull(node: unknown): boolean {
    return node === null || node === undefined || (this.#yaml.isScalar(node) && node.value === null);
  }

  /** The mapping that a node is, if it is one. */
  asMap(node: unknown): YAMLMap | undefined {
    return this.#yaml.isMap(node) ? node : undefined;
  }

  /** The plain value that a node is, if it is one. */
  asScalar(node: unknown): unknown {
    return this.#yaml.isScalar(node) ? node.value : undefined;
  }

  /** A key as text. */
  key(key: unknown): string {
    return String(this.#yaml.isScalar(key) ? key.value : key);
  }

  text(map: YAMLMap | undefined, key: string): string | undefined {
    const node = map && this.value(map, key);
    if (node === undefined || this.isNull(node)) return undefined;
    if (this.#yaml.isScalar(node)) return String(node.value);
    if (COMMANDS.includes(key) && this.#yaml.isSeq(node)) return this.texts(node).map(shellQuote).join(" ");
    this.mistake(this.line(node), `${key} is not plain text`);
    return undefined;
  }

  /** A list's items as texts, or one text alone. */
  texts(node: Node | undefined): string[] {
    if (node === undefined || this.isNull(node)) return [];
    if (this.#yaml.isSeq(node)) return node.items.map((item) => this.key(item));
    return this.#yaml.isScalar(node) ? [String(node.value)] : [];
  }

  /** A whole number from `least` up. */
  number(map: YAMLMap | undefined, key: string, least = 0): number | undefined {
    const text = this.text(map, key);
    if (text === undefined) return undefined;
    if (/^\d{1,9}$/.test(text) && Number(text) >= least) return Number(text);
    this.mistake(
      this.line(map && this.value(map, key)),
      `${key} ${JSON.stringify(text)} is not a number from ${least} up`,
    );
    return undefined;
  }

  flag(map: YAMLMap | undefined, key: string): boolean | undefined {
    const text = this.text(map, key);
    if (text === undefined || text === "true" || text === "false")
      return text === undefined ? undefined : text === "true";
    this.mistake(this.line(map && this.value(map, key)), `${key} is neither true nor false`);
    return undefined;
  }

  map(map: YAMLMap | undefined, key: string): YAMLMap | undefined {
    const node = map && this.value(map, key);
    if (node === undefined || this.isNull(node)) return undefined;
    if (this.#yaml.isMap(node)) return node;
    this.mistake(this.line(node), `${key} is not a mapping`);
    return undefined;
  }

  /** A key's value, through aliases and merged (`<<`) mappings. */
  value(map: YAMLMap, key: string): Node | undefined {
    const node = this.resolve(map.get(key, true));
    if (node !== undefined) return node;
    for (const pair of map.items) {
      if (!this.#isMerge(pair.key)) continue;
      const merged = this.resolve(pair.value);
      const sources = this.#yaml.isSeq(merged) ? merged.items : [merged];
      for (const source of sources) {
        const from = this.resolve(source);
        const found = this.#yaml.isMap(from) ? this.value(from, key) : undefined;
        if (found !== undefined) return found;
      }
    }
    return undefined;
  }

  /** The library reads `<<` as a symbol of its own. */
  #isMerge(key: unknown): boolean {
    return this.#yaml.isScalar(key) && (key.value === "<<" || typeof key.value === "symbol");
  }

  resolve(value: unknown): Node | undefined {
    if (this.#yaml.isAlias(value)) return value.resolve(this.document);
    return this.#yaml.isNode(value) ? value : undefined;
  }
}
