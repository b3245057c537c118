/** A context larger than this is worth a word, in bytes. */
export const LARGE_CONTEXT = 500_000_000;
/** Directories deeper than this are not looked at one by one. */
const DEPTH = 4;
/** A directory that one entry fills to this share is named by that entry. */
const MOST = 0.8;

/** Smaller files are counted with their directory: there may be hundreds of thousands. In bytes. */
const WORTH_NAMING = 1_000_000;

interface Node {
  size: number;
  children: Map<string, Node>;
}

/** How large a context is, and what makes it so. */
export class ContextSize {
  readonly #root: Node = { size: 0, children: new Map() };
  files = 0;

  add(path: string, size: number): void {
    this.files++;
    this.#root.size += size;
    let node = this.#root;
    const names = path.split("/");
    if (size < WORTH_NAMING) names.pop();
    for (const name of names.slice(0, DEPTH)) {
      const child = node.children.get(name) ?? { size: 0, children: new Map() };
      node.children.set(name, child);
      child.size += size;
      node = child;
    }
  }

  /** In bytes. */
  get total(): number {
    return this.#root.size;
  }

  /** The paths that cost most; of a directory that is nearly all one entry, that entry. */
  largest(count: number): { path: string; size: number }[] {
    return [...this.#root.children]
      .map(([name, node]) => descend(name, node))
      .sort((a, b) => b.size - a.size || (a.path < b.path ? -1 : 1))
      .slice(0, count);
  }
}

function descend(path: string, node: Node): { path: string; size: number } {
  for (const [name, child] of node.children)
    if (child.size >= MOST * node.size) return descend(`${path}/${name}`, child);
  return { path, size: node.size };
}
