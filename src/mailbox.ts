/** What has come and waits to be read, in order; one reader. */
export class Mailbox<T> implements AsyncIterable<T> {
  readonly #waiting: T[] = [];
  #end: { error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  put(item: T): void {
    if (this.#end) return;
    this.#waiting.push(item);
    this.#wake?.();
  }

  /** Nothing comes any more; with an error, that is what the reader meets after the rest. */
  end(...[error]: [error?: unknown]): void {
    this.#end ??= error === undefined ? {} : { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T> {
    for (;;) {
      const item = this.#waiting.shift();
      if (item !== undefined) yield item;
      else if (this.#end) {
        if ("error" in this.#end) throw this.#end.error;
        return;
      } else {
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#wake = resolve;
        await promise;
      }
    }
  }
}
