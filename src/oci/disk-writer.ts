import type { Bytes } from "../bytes.ts";
import { systemError } from "../errors.ts";
import { type Digest, parseDigest } from "./digest.ts";
import type { DiskResult, DiskTask } from "./disk-worker.ts";

/** Small chunks are gathered into buffers of this size, which go round and round. */
const PIECE = 512 * 1024;
const BUFFERS = 6;
/** A chunk of this size is handed over as it is. */
const WORTH_GIVING = 32 * 1024;
/** Bytes that may be under way to the thread. */
const MOST = 8 * 1024 * 1024;

/**
 * Hashes and writes on a thread of its own, so that the network is read meanwhile.
 * Any number of regions of any files are under way at once.
 */
export class DiskWriter implements Disposable {
  readonly #worker: Worker;
  readonly #free: ArrayBuffer[] = [];
  readonly #wanting: ((buffer: ArrayBuffer) => void)[] = [];
  readonly #regions = new Map<number, Region>();
  readonly #blocked: (() => void)[] = [];
  #underWay = 0;
  #buffers = 0;
  #next = 0;

  constructor() {
    this.#worker = new Worker(workerUrl());
    this.#worker.onmessage = ({ data }: MessageEvent<DiskResult>) => this.#heard(data);
    this.#worker.onerror = (event) => {
      for (const region of this.#regions.values()) region.fail(new Error(event.message));
    };
  }

  /** A part of a file that begins at `at`; `fd` stays open until its end. */
  region(fd: number, at: number, algorithm: "sha256" | "sha512"): Region {
    const region = new Region(this, { region: this.#next++, fd, at, algorithm, length: 0, returned: true });
    this.#regions.set(region.id, region);
    return region;
  }

  #heard(result: DiskResult): void {
    const region = this.#regions.get(result.region);
    if (result.failure)
      region?.fail(Object.assign(new Error(result.failure.message), { code: result.failure.code }));
    if (result.digest !== undefined) region?.end(parseDigest(result.digest));
    if (result.buffer) this.give(result.buffer);
    this.#underWay -= result.done ?? 0;
    if (this.#underWay < MOST / 2) for (const go of this.#blocked.splice(0)) go();
  }

  /** Resolves when the thread is not too far behind. */
  async ready(): Promise<void> {
    while (this.#underWay >= MOST) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#blocked.push(resolve);
      await promise;
    }
  }

  /** An empty buffer, as soon as there is one. */
  take(): ArrayBuffer | Promise<ArrayBuffer> {
    const buffer = this.#free.pop();
    if (buffer) return buffer;
    if (this.#buffers < BUFFERS) {
      this.#buffers++;
      return new ArrayBuffer(PIECE);
    }
    const { promise, resolve } = Promise.withResolvers<ArrayBuffer>();
    this.#wanting.push(resolve);
    return promise;
  }

  give(buffer: ArrayBuffer): void {
    const next = this.#wanting.shift();
    if (next) next(buffer);
    else this.#free.push(buffer);
  }

  post(task: DiskTask): void {
    this.#underWay += task.length;
    this.#worker.postMessage(task, task.buffer ? [task.buffer] : []);
  }

  forget(id: number): void {
    this.#regions.delete(id);
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** One run of bytes on its way to the disk. */
export class Region {
  readonly #writer: DiskWriter;
  readonly #task: DiskTask;
  readonly #ended = Promise.withResolvers<Digest>();
  #buffer: ArrayBuffer | undefined;
  #filled = 0;
  #failure: unknown;
  size = 0;

  constructor(writer: DiskWriter, task: DiskTask) {
    this.#writer = writer;
    this.#task = task;
    this.#ended.promise.catch(() => undefined);
  }

  get id(): number {
    return this.#task.region;
  }

  /** Takes the chunk for good: whoever hands it over must not touch it again. */
  async give(chunk: Bytes): Promise<void> {
    const whole = chunk.byteLength === chunk.buffer.byteLength;
    if (!whole || chunk.byteLength < WORTH_GIVING) return await this.#gather(chunk);
    if (this.#failure !== undefined) throw this.#failure;
    this.#send();
    const length = chunk.byteLength;
    this.#writer.post({ ...this.#task, length, buffer: chunk.buffer, returned: false });
    this.#task.at += length;
    this.size += length;
    await this.#writer.ready();
  }

  async #gather(chunk: Bytes): Promise<void> {
    for (let done = 0; done < chunk.byteLength; ) {
      if (this.#failure !== undefined) throw this.#failure;
      this.#buffer ??= await this.#writer.take();
      const part = chunk.subarray(done, done + PIECE - this.#filled);
      new Uint8Array(this.#buffer, this.#filled).set(part);
      this.#filled += part.byteLength;
      done += part.byteLength;
      if (this.#filled === PIECE) this.#send();
    }
    this.size += chunk.byteLength;
  }

  #send(): void {
    const buffer = this.#buffer;
    if (!buffer) return;
    this.#writer.post({ ...this.#task, length: this.#filled, buffer });
    this.#task.at += this.#filled;
    this.#buffer = undefined;
    this.#filled = 0;
  }

  /** The digest of all that was written, once it is. */
  async finish(): Promise<Digest> {
    this.#send();
    this.#writer.post(this.#task);
    try {
      return await this.#ended.promise;
    } finally {
      this.#writer.forget(this.id);
    }
  }

  /** Gives up what is left of the region. */
  abort(): void {
    if (this.#buffer) this.#writer.give(this.#buffer);
    this.#buffer = undefined;
    this.#writer.forget(this.id);
  }

  end(digest: Digest): void {
    if (this.#failure === undefined) this.#ended.resolve(digest);
  }

  fail(error: unknown): void {
    this.#failure ??= systemError("Cannot write", error);
    this.#ended.reject(this.#failure);
  }
}

/** In a compiled binary modules lie in bundled chunks at its root, and the worker, an entry point, below it. */
function workerUrl(): string {
  const compiled = /\$bunfs|~BUN/.test(import.meta.url);
  return new URL(compiled ? "./oci/disk-worker.js" : "./disk-worker.ts", import.meta.url).href;
}
