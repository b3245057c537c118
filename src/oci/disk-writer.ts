import type { Bytes } from "../bytes.ts";
import { systemError } from "../errors.ts";
import { type Digest, parseDigest } from "./digest.ts";
import type { DiskResult, DiskSlots, DiskTask } from "./disk-worker.ts";

/** Chunks are gathered in slots that both threads see: what is copied there is hot, and nothing is left to collect. */
const SLOT = 512 * 1024;
const SLOTS = 8;

/**
 * Hashes and writes on a thread of its own, so that the network is read meanwhile.
 * Any number of regions of any files are under way at once.
 */
export class DiskWriter implements Disposable {
  readonly #worker: Worker;
  readonly #slots = Array.from({ length: SLOTS }, () => new Uint8Array(new SharedArrayBuffer(SLOT)));
  readonly #free = [...this.#slots.keys()];
  readonly #wanting: ((slot: number) => void)[] = [];
  readonly #regions = new Map<number, Region>();
  #next = 0;

  constructor() {
    this.#worker = new Worker(workerUrl());
    this.#worker.onmessage = ({ data }: MessageEvent<DiskResult>) => this.#heard(data);
    this.#worker.onerror = (event) => {
      for (const region of this.#regions.values()) region.lost(new Error(event.message));
    };
    this.#worker.postMessage({ slots: this.#slots.map(({ buffer }) => buffer) } satisfies DiskSlots);
  }

  /** A part of a file that begins at `at`; `fd` stays open until its end. */
  region(fd: number, at: number, algorithm: "sha256" | "sha512"): Region {
    const id = this.#next++;
    const region = new Region(this, { region: id, fd, at, algorithm, length: 0 });
    this.#regions.set(id, region);
    return region;
  }

  #heard({ region: id, slot, digest, failure }: DiskResult): void {
    const region = this.#regions.get(id);
    if (failure) region?.fail(Object.assign(new Error(failure.message), { code: failure.code }));
    if (digest !== undefined) region?.end(parseDigest(digest));
    if (slot === undefined) return;
    this.give(slot);
    region?.settled();
  }

  /** A free slot, as soon as there is one. */
  take(): number | Promise<number> {
    const slot = this.#free.pop();
    if (slot !== undefined) return slot;
    const { promise, resolve } = Promise.withResolvers<number>();
    this.#wanting.push(resolve);
    return promise;
  }

  give(slot: number): void {
    const next = this.#wanting.shift();
    if (next) next(slot);
    else this.#free.push(slot);
  }

  /** Copies what fits into a slot that holds `filled` bytes, and says how much that was. */
  fill(slot: number, filled: number, chunk: Bytes): number {
    const part = chunk.subarray(0, SLOT - filled);
    this.#slots[slot]?.set(part, filled);
    return part.byteLength;
  }

  post(task: DiskTask): void {
    this.#worker.postMessage(task);
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
  #slot: number | undefined;
  #filled = 0;
  /** Pieces the thread has not done yet. */
  #pending = 0;
  #idle: (() => void) | undefined;
  #failure: unknown;
  size = 0;

  constructor(writer: DiskWriter, task: DiskTask) {
    this.#writer = writer;
    this.#task = task;
    this.#ended.promise.catch(() => undefined);
  }

  async write(chunk: Bytes): Promise<void> {
    for (let done = 0; done < chunk.byteLength; ) {
      if (this.#failure !== undefined) throw this.#failure;
      this.#slot ??= await this.#writer.take();
      const taken = this.#writer.fill(this.#slot, this.#filled, chunk.subarray(done));
      this.#filled += taken;
      done += taken;
      if (this.#filled === SLOT) this.#send();
    }
    this.size += chunk.byteLength;
  }

  #send(): void {
    const slot = this.#slot;
    if (slot === undefined) return;
    this.#writer.post({ ...this.#task, slot, length: this.#filled });
    this.#task.at += this.#filled;
    this.#pending++;
    this.#slot = undefined;
    this.#filled = 0;
  }

  /** The digest of all that was written, once it is. */
  async finish(): Promise<Digest> {
    this.#send();
    this.#writer.post(this.#task);
    try {
      return await this.#ended.promise;
    } finally {
      this.#writer.forget(this.#task.region);
    }
  }

  /** Gives up what is left of the region. Nothing touches its file any more once this resolves. */
  async abort(): Promise<void> {
    if (this.#slot !== undefined) this.#writer.give(this.#slot);
    this.#slot = undefined;
    if (this.#pending > 0) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#idle = resolve;
      await promise;
    }
    this.#writer.forget(this.#task.region);
  }

  settled(): void {
    this.#pending--;
    if (this.#pending === 0) this.#idle?.();
  }

  /** The thread is gone, and what it was to do will not be done. */
  lost(error: unknown): void {
    this.fail(error);
    this.#pending = 0;
    this.#idle?.();
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
