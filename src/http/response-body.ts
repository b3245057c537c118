import type { Bytes } from "../bytes.ts";
import { DavitError, reasonOf } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import { idleTimeout, interrupted } from "./silence.ts";

/** A response's body; silence for too long, and a link that breaks, are errors of code `unavailable`. */
export async function* bodyOf(response: Response, what: string, signal?: AbortSignal): AsyncGenerator<Bytes> {
  const body: ReadableStream<Bytes> | null = response.body;
  if (!body) return;
  const reader = body.getReader();
  const garbage = new Garbage();
  using watch = new ReadWatch(() => void reader.cancel().catch(() => undefined), signal);
  try {
    for (;;) {
      watch.waiting();
      const { done, value } = await reader.read();
      watch.served();
      if (watch.expired) throw silent(what);
      if (signal?.aborted) throw interrupted(signal.reason);
      if (done) return;
      yield value;
      garbage.free(value);
    }
  } catch (cause) {
    if (cause instanceof DavitError) throw cause;
    if (signal?.aborted) throw interrupted(cause);
    throw new DavitError("unavailable", `Cannot read ${what}: ${reasonOf(cause)}`, { cause });
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

function silent(what: string): DavitError {
  return new DavitError("unavailable", `Cannot read ${what}: nothing came for ${idleTimeout() / 1000} s`);
}

/** Ends a reading that waits for too long, or that nobody wants any more. One clock for all its chunks: a timer for each costs more than the chunk. */
class ReadWatch implements Disposable {
  readonly #cancel: () => void;
  readonly #signal: AbortSignal | undefined;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #limit = idleTimeout();
  #since: number | undefined;
  expired = false;

  constructor(cancel: () => void, signal: AbortSignal | undefined) {
    this.#cancel = cancel;
    this.#signal = signal;
    this.#timer = setInterval(() => this.#look(), Math.min(1000, this.#limit / 10));
    signal?.addEventListener("abort", cancel);
  }

  waiting(): void {
    this.#since = performance.now();
  }

  served(): void {
    this.#since = undefined;
  }

  #look(): void {
    if (this.#since === undefined || performance.now() - this.#since < this.#limit) return;
    this.expired = true;
    this.#cancel();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#signal?.removeEventListener("abort", this.#cancel);
  }
}
