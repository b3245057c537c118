/** What is asked for once and then remembered. A failure is for whoever met it: the next asks anew. */
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
