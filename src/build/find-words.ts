/**
 * Finds any of many words in a text, in one pass over it (Aho and Corasick, 1975). Nodes are
 * rows of typed arrays: a secret may have half a megabyte.
 */
export class WordFinder {
  readonly #root = new Map<number, number>();
  #letter = new Uint16Array(1024);
  #child = new Int32Array(1024);
  #sibling = new Int32Array(1024);
  /** The node of the longest other beginning of a word that the text so far ends with. */
  #fallback = new Int32Array(1024);
  /** The length of the longest word that ends here; 0 is none. */
  #ends = new Int32Array(1024);
  /** Node 0 is the root. */
  #count = 1;
  #linked = true;

  add(word: string): void {
    let node = 0;
    for (let i = 0; i < word.length; i++) {
      const letter = word.charCodeAt(i);
      node = this.#next(node, letter) || this.#grow(node, letter);
    }
    this.#ends[node] = word.length;
    this.#linked = false;
  }

  /** Where words stand, in order; those that overlap are one place. */
  find(text: string): [from: number, to: number][] {
    this.#link();
    const places: [number, number][] = [];
    for (let i = 0, node = 0; i < text.length; i++) {
      node = this.#step(node, text.charCodeAt(i));
      const length = this.#ends[node] ?? 0;
      if (length > 0) place(places, i + 1 - length, i + 1);
    }
    return places;
  }

  #next(node: number, letter: number): number {
    if (node === 0) return this.#root.get(letter) ?? 0;
    let child = this.#child[node] ?? 0;
    while (child !== 0 && this.#letter[child] !== letter) child = this.#sibling[child] ?? 0;
    return child;
  }

  #step(from: number, letter: number): number {
    let node = from;
    for (;;) {
      const next = this.#next(node, letter);
      if (next !== 0 || node === 0) return next;
      node = this.#fallback[node] ?? 0;
    }
  }

  #grow(parent: number, letter: number): number {
    if (this.#count === this.#letter.length) this.#widen();
    const node = this.#count++;
    this.#letter[node] = letter;
    if (parent === 0) this.#root.set(letter, node);
    else {
      this.#sibling[node] = this.#child[parent] ?? 0;
      this.#child[parent] = node;
    }
    return node;
  }

  #widen(): void {
    const wider = <T extends Uint16Array | Int32Array>(old: T, fresh: T): T => {
      fresh.set(old);
      return fresh;
    };
    const size = this.#count * 2;
    this.#letter = wider(this.#letter, new Uint16Array(size));
    this.#child = wider(this.#child, new Int32Array(size));
    this.#sibling = wider(this.#sibling, new Int32Array(size));
    this.#fallback = wider(this.#fallback, new Int32Array(size));
    this.#ends = wider(this.#ends, new Int32Array(size));
  }

  /** Level by level, so that a node's fallback is known before its children ask for it. */
  #link(): void {
    if (this.#linked) return;
    this.#linked = true;
    const queue = new Int32Array(this.#count);
    let size = 0;
    for (const node of this.#root.values()) {
      this.#fallback[node] = 0;
      queue[size++] = node;
    }
    for (let at = 0; at < size; at++) {
      const node = queue[at] ?? 0;
      for (let child = this.#child[node] ?? 0; child !== 0; child = this.#sibling[child] ?? 0) {
        const fallback = this.#step(this.#fallback[node] ?? 0, this.#letter[child] ?? 0);
        this.#fallback[child] = fallback;
        this.#ends[child] = Math.max(this.#ends[child] ?? 0, this.#ends[fallback] ?? 0);
        queue[size++] = child;
      }
    }
  }
}

/** Takes in the places that this one touches: a later place may begin before earlier ones. */
function place(places: [number, number][], from: number, to: number): void {
  let start = from;
  for (let last = places.at(-1); last && last[1] > from; last = places.at(-1)) {
    start = Math.min(start, last[0]);
    places.pop();
  }
  places.push([start, to]);
}
