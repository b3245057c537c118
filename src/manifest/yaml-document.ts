import type { Alias, Document, Node, YAMLMap } from "yaml";

type Yaml = typeof import("yaml");

/**
 * A parsed document with an index of its aliases' targets and its mappings' values, which the
 * library would search for anew at each question. Made in one pass, without recursion.
 */
export class YamlDocument {
  readonly contents: Node | null;
  /** Every key that its mapping has already. */
  readonly doubled: Node[] = [];
  readonly #yaml: Yaml;
  readonly #targets = new Map<Alias, Node>();
  readonly #values = new Map<YAMLMap, Map<unknown, unknown>>();
  readonly #merged = new Map<YAMLMap, unknown[]>();

  constructor(yaml: Yaml, document: Document.Parsed) {
    this.#yaml = yaml;
    this.contents = document.contents;
    this.#walk(document.contents);
  }

  /** The node that an alias stands for; any other node stands for itself. */
  resolve(value: unknown): Node | undefined {
    if (this.#yaml.isAlias(value)) return this.#targets.get(value);
    return this.#yaml.isNode(value) ? value : undefined;
  }

  /** A mapping's own value. */
  own(map: YAMLMap, key: string): Node | undefined {
    return this.resolve(this.#values.get(map)?.get(key));
  }

  /** A mapping and all that it merges, each once; values of the first count before those of later ones. */
  *withMerged(map: YAMLMap): Generator<YAMLMap> {
    const seen = new Set<YAMLMap>();
    const left: unknown[] = [map];
    while (left.length > 0) {
      const one = this.resolve(left.pop());
      if (this.#yaml.isSeq(one)) left.push(...one.items.slice(0, MAX_SOURCES).reverse());
      if (!this.#yaml.isMap(one) || seen.has(one)) continue;
      seen.add(one);
      yield one;
      left.push(...(this.#merged.get(one) ?? []).slice(0, MAX_SOURCES).reverse());
    }
  }

  /** Nodes in the order of the text, so that an alias means the last anchor before it. */
  #walk(root: Node | null): void {
    const anchors = new Map<string, Node>();
    const left: unknown[] = [root];
    while (left.length > 0) {
      const node = left.pop();
      if (this.#yaml.isPair(node)) left.push(node.value, node.key);
      else if (this.#yaml.isAlias(node)) {
        const target = anchors.get(node.source);
        if (target) this.#targets.set(node, target);
      } else if (this.#yaml.isNode(node)) {
        if (node.anchor) anchors.set(node.anchor, node);
        if (this.#yaml.isMap(node)) this.#index(node);
        if (this.#yaml.isCollection(node))
          for (let at = node.items.length - 1; at >= 0; at--) left.push(node.items[at]);
      }
    }
  }

  #index(map: YAMLMap): void {
    const values = new Map<unknown, unknown>();
    const merged: unknown[] = [];
    for (const { key, value } of map.items) {
      if (!this.#yaml.isScalar(key)) continue;
      if (isMergeKey(key.value)) merged.push(value);
      else if (values.has(key.value)) this.doubled.push(key);
      else values.set(key.value, value);
    }
    this.#values.set(map, values);
    if (merged.length > 0) this.#merged.set(map, merged);
  }
}

/** How many mappings one `<<` may merge; those after them are left out. */
const MAX_SOURCES = 100;

/** Whether a key is `<<`, which the library reads as a symbol of its own. */
export function isMergeKey(key: unknown): boolean {
  return key === "<<" || typeof key === "symbol";
}
