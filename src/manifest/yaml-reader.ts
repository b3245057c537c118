import type { Document, LineCounter, Node, YAMLMap } from "yaml";
import { DavitError } from "../errors.ts";
import { shellQuote } from "../shell-words.ts";
import { isMergeKey, YamlDocument } from "./yaml-document.ts";

/** One mistake in a project's files. */
export interface Mistake {
  file: string;
  line: number;
  message: string;
}

/** What a list of words may stand for, too. */
const COMMANDS = ["command", "entrypoint"];

type Yaml = typeof import("yaml");

/** How many characters of values are read from one document: aliases may repeat parts of its text many times. */
const MAX_READ = 2 * 1024 * 1024;
/** Mistakes that are kept. */
const MAX_MISTAKES = 1000;

/** Reads values out of a YAML document as what they should be. What is not so is a mistake, with its line, and left out. */
export class YamlReader {
  readonly mistakes: Mistake[] = [];
  readonly contents: Node | null;
  readonly #document: YamlDocument;
  readonly #yaml: Yaml;
  readonly #lines: LineCounter;
  readonly #file: string;
  #left = MAX_READ;

  private constructor(yaml: Yaml, lines: LineCounter, file: string, document: Document.Parsed) {
    this.#yaml = yaml;
    this.#lines = lines;
    this.#file = file;
    this.#document = new YamlDocument(yaml, document);
    this.contents = document.contents;
    for (const error of document.errors)
      this.mistake(lines.linePos(error.pos[0]).line, error.message.split("\n")[0] ?? "bad YAML");
    for (const key of this.#document.doubled) this.mistake(this.line(key), "Map keys must be unique");
    this.mistakes.sort((a, b) => a.line - b.line);
  }

  static async open(text: string, file: string): Promise<YamlReader> {
    const yaml = await import("yaml");
    const lines = new yaml.LineCounter();
    // The library compares each key with all others of its mapping.
    const options = { merge: true, lineCounter: lines, prettyErrors: false, uniqueKeys: false };
    return new YamlReader(yaml, lines, file, yaml.parseDocument(text, options));
  }

  mistake(line: number, message: string): void {
    if (this.mistakes.length < MAX_MISTAKES) this.mistakes.push({ file: this.#file, line, message });
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
    const node = this.resolve(key);
    return this.#yaml.isScalar(node) ? this.#read(node.value) : "[a list or a mapping]";
  }

  text(map: YAMLMap | undefined, key: string): string | undefined {
    const node = map && this.value(map, key);
    if (node === undefined || this.isNull(node)) return undefined;
    if (this.#yaml.isScalar(node)) return this.#read(node.value);
    if (COMMANDS.includes(key) && this.#yaml.isSeq(node)) return this.texts(node).map(shellQuote).join(" ");
    this.mistake(this.line(node), `${key} is not plain text`);
    return undefined;
  }

  /** A list's items as texts, or one text alone. */
  texts(node: Node | undefined): string[] {
    if (node === undefined || this.isNull(node)) return [];
    if (this.#yaml.isSeq(node)) return node.items.map((item) => this.key(item));
    return this.#yaml.isScalar(node) ? [this.#read(node.value)] : [];
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
    for (const one of this.#document.withMerged(map)) {
      this.#spend(1);
      const found = this.#document.own(one, key);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** A mapping's keys and plain values, with those of merged mappings; a value that is not plain is a mistake. */
  pairs(map: YAMLMap): [key: string, value: unknown][] {
    const found = new Map<string, unknown>();
    for (const one of this.#document.withMerged(map))
      for (const pair of one.items) {
        const key = this.key(pair.key);
        if (found.has(key) || (this.#yaml.isScalar(pair.key) && isMergeKey(pair.key.value))) continue;
        found.set(key, this.#plain(key, pair.value));
      }
    return [...found];
  }

  #plain(key: string, value: unknown): unknown {
    const node = this.resolve(value);
    if (this.isNull(node)) return null;
    if (this.#yaml.isScalar(node)) return this.#read(node.value);
    this.mistake(this.line(node), `${key} is not plain text`);
    return null;
  }

  resolve(value: unknown): Node | undefined {
    return this.#document.resolve(value);
  }

  #read(value: unknown): string {
    const text = String(value);
    this.#spend(1 + text.length);
    return text;
  }

  /** Throws where too much was read: with aliases and merges a short text could fill the memory. */
  #spend(characters: number): void {
    this.#left -= characters;
    if (this.#left < 0)
      throw new DavitError("invalid", `Cannot use ${this.#file}: its aliases and merges repeat too much`);
  }
}
