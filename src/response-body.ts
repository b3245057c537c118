import { type Bytes, collect, decode } from "./bytes.ts";
import { DavitError, reasonOf } from "./errors.ts";
import { Garbage } from "./garbage.ts";
import { idleTimeout, interrupted } from "./silence.ts";

/** The slowest average rate of an answer, in bytes per millisecond; one idle timeout is added to its time. */
const SLOWEST = 16;
/** How much of an error's answer is read, in bytes. */
const START = 64 * 1024;

/** Reads an answer as text. Throws where it has more than `limit` bytes, falls silent, or comes too slowly to end in time. */
export async function readText(
  response: Response,
  limit: number,
  what: string,
  signal?: AbortSignal,
): Promise<string> {
  const time = idleTimeout() + limit / SLOWEST;
  const late = AbortSignal.timeout(time);
  const both = signal ? AbortSignal.any([signal, late]) : late;
  try {
    return decode(await collect(bodyOf(response, what, both), limit, what));
  } catch (cause) {
    if (!late.aborted || signal?.aborted) throw cause;
    const seconds = Math.round(time / 1000);
    throw new DavitError("unavailable", `Cannot read ${what}: it has not ended after ${seconds} s`, {
      cause,
    });
  }
}

/** Reads the start of an error's answer, as text. Never throws: a message that was cut is still useful. */
export async function readStart(response: Response, signal?: AbortSignal): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const late = AbortSignal.timeout(idleTimeout());
  try {
    const body = bodyOf(response, "an error", signal ? AbortSignal.any([signal, late]) : late);
    for await (const chunk of body) {
      text += decoder.decode(chunk, { stream: true });
      if (text.length >= START) break;
    }
  } catch {
    // What has arrived is enough.
  }
  return text.slice(0, START);
}

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
