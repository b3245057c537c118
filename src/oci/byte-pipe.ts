import type { ByteStream, Bytes } from "../bytes.ts";

/** A stream whose bytes are handed in one by one; the writer waits until each is taken. */
export class BytePipe {
  readonly #queue: { chunk: Bytes | undefined; taken: () => void }[] = [];
  #wanted: (() => void) | undefined;
  #closed = false;

  /** The chunk may be used again once the promise resolves. */
  async write(chunk: Bytes): Promise<void> {
    await this.#put(chunk);
  }

  /** No more will come. */
  end(): void {
    void this.#put(undefined);
  }

  #put(chunk: Bytes | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.#closed) return Promise.resolve();
    this.#queue.push({ chunk, taken: resolve });
    this.#wanted?.();
    return promise;
  }

  get stream(): ByteStream {
    return this.#read();
  }

  async *#read(): AsyncGenerator<Bytes> {
    try {
      for (;;) {
        const next = this.#queue.shift();
        if (!next) {
          const { promise, resolve } = Promise.withResolvers<void>();
          this.#wanted = resolve;
          await promise;
          continue;
        }
        if (!next.chunk) return;
        yield next.chunk;
        next.taken();
      }
    } finally {
      // A reader that leaves early must not keep its writer waiting.
      this.#closed = true;
      for (const { taken } of this.#queue.splice(0)) taken();
    }
  }
}
