import { availableParallelism } from "node:os";
import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { GzipResult, GzipTask } from "./gzip-worker.ts";

/** Bytes compressed at a time. Larger pieces cost memory and hardly shrink further. */
const PIECE = 256 * 1024;
const MAX_WORKERS = 4;

/**
 * Compresses streams to gzip on several threads. Each piece becomes a member of
 * its own; members one after the other are one valid gzip file (RFC 1952, 2.2).
 * The same bytes always give the same output.
 */
export class GzipPool implements Disposable {
  readonly #workers: Worker[] = [];
  readonly #waiting = new Map<number, (result: GzipResult) => void>();
  readonly #failed = new Set<(error: unknown) => void>();
  readonly #free: ArrayBuffer[] = [];
  #tasks = 0;

  async *compress(stream: ByteStream): AsyncGenerator<Bytes> {
    this.#start();
    const queue: Promise<Bytes>[] = [];
    const depth = this.#workers.length + 2;
    let some = false;
    try {
      for await (const piece of this.#pieces(stream)) {
        some = true;
        queue.push(this.#run(piece.buffer, piece.length));
        if (queue.length >= depth) yield await (queue.shift() ?? this.#empty());
      }
      if (!some) queue.push(this.#empty());
      for (let next = queue.shift(); next; next = queue.shift()) yield await next;
    } finally {
      await Promise.allSettled(queue);
    }
  }

  [Symbol.dispose](): void {
    for (const worker of this.#workers.splice(0)) worker.terminate();
  }

  #empty(): Promise<Bytes> {
    return this.#run(new ArrayBuffer(0), 0);
  }

  /** Gathers a stream into buffers of one piece each; buffers are used again and again. */
  async *#pieces(stream: ByteStream): AsyncGenerator<{ buffer: ArrayBuffer; length: number }> {
    let buffer = this.#free.pop() ?? new ArrayBuffer(PIECE);
    let length = 0;
    for await (const chunk of stream) {
      for (let at = 0; at < chunk.byteLength; ) {
        const part = chunk.subarray(at, at + PIECE - length);
        new Uint8Array(buffer, length).set(part);
        length += part.byteLength;
        at += part.byteLength;
        if (length < PIECE) continue;
        yield { buffer, length };
        buffer = this.#free.pop() ?? new ArrayBuffer(PIECE);
        length = 0;
      }
    }
    if (length > 0) yield { buffer, length };
  }

  #run(buffer: ArrayBuffer, length: number): Promise<Bytes> {
    const id = this.#tasks++;
    const { promise, resolve, reject } = Promise.withResolvers<Bytes>();
    this.#failed.add(reject);
    this.#waiting.set(id, (result) => {
      this.#failed.delete(reject);
      if (result.buffer.byteLength === PIECE) this.#free.push(result.buffer);
      resolve(result.output);
    });
    promise.catch(() => undefined);
    const task: GzipTask = { id, buffer, length };
    this.#workers[id % this.#workers.length]?.postMessage(task, [buffer]);
    return promise;
  }

  #start(): void {
    while (this.#workers.length < Math.min(MAX_WORKERS, availableParallelism())) {
      const worker = new Worker(workerUrl(), { smol: true });
      worker.onmessage = ({ data }: MessageEvent<GzipResult>) => {
        const done = this.#waiting.get(data.id);
        this.#waiting.delete(data.id);
        done?.(data);
      };
      worker.onerror = (event) => {
        for (const reject of this.#failed) reject(new DavitError("io", `Cannot compress: ${event.message}`));
      };
      this.#workers.push(worker);
    }
  }
}

/** In a compiled binary modules lie in bundled chunks at its root, and the worker, an entry point, below it. */
function workerUrl(): string {
  const compiled = /\$bunfs|~BUN/.test(import.meta.url);
  return new URL(compiled ? "./oci/gzip-worker.js" : "./gzip-worker.ts", import.meta.url).href;
}
