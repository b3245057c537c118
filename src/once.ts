/** Makes a value once and remembers it. A failure is not remembered: the next caller tries again. */
export class Once<T> {
  #value: Promise<T> | undefined;

  get(make: () => Promise<T>): Promise<T> {
    if (this.#value) return this.#value;
    const value = make();
    this.#value = value;
    value.catch(() => {
      if (this.#value === value) this.#value = undefined;
    });
    return value;
  }
}
