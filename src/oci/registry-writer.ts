import { type Bytes, concat } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import type { RateLimit } from "../http/rate-limit.ts";
import { BytePipe } from "./byte-pipe.ts";
import type { Descriptor } from "./descriptor.ts";
import { type Digest, Digester, digestAlgorithm } from "./digest.ts";
import type { RegistryUpload } from "./registry-upload.ts";
import type { BlobWriter } from "./store.ts";

/** Bytes kept for sending again until the registry has them. */
export const CHUNK = 4 * 1024 * 1024;
/** What is smaller goes in the body of the last request. */
export const SMALL = 128 * 1024;

export interface WriterOptions {
  /** Bytes in one request. */
  chunk: number;
  expected?: Descriptor | undefined;
  rate?: RateLimit | undefined;
  mountFrom?: readonly string[] | undefined;
  /** The registry takes a blob in one body only. */
  stream?: boolean;
  /** Told when that is found out. */
  onlyStreams?: (() => Promise<void>) | undefined;
}

/**
 * A blob that is read once only, on its way into a registry: in chunks, each kept
 * until the registry says it has it, while the next one is being filled.
 */
export class RegistryWriter implements BlobWriter {
  readonly #upload: RegistryUpload;
  readonly #options: WriterOptions;
  readonly #chunk: number;
  readonly #digester: Digester;
  #digest: Digest | undefined;
  #filling: Bytes;
  #spare: Bytes | undefined;
  #filled = 0;
  /** Where in the blob the buffer that is being filled begins. */
  #base = 0;
  #sending: Promise<void> | undefined;
  #begun = false;
  #mounted = false;
  #first: Bytes | undefined;
  #kept: Bytes | undefined;
  #second: Bytes | undefined;
  #pipe: BytePipe | undefined;
  #putOnly = false;
  offset = 0;

  constructor(upload: RegistryUpload, options: WriterOptions) {
    const { chunk, expected } = options;
    this.#upload = upload;
    this.#options = options;
    this.#chunk = Math.min(chunk, Math.max(1, expected?.size ?? chunk));
    this.#filling = new Uint8Array(this.#chunk);
    this.#digester = new Digester(expected ? digestAlgorithm(expected.digest) : "sha256");
  }

  async write(chunk: Bytes): Promise<void> {
    this.#digester.update(chunk);
    this.offset += chunk.byteLength;
    if (this.#pipe) return await this.#pipe.write(chunk);
    for (let at = 0; at < chunk.byteLength; ) {
      if (this.#filled === this.#chunk) await this.#turn();
      const rest = chunk.subarray(at);
      if (this.#pipe) return await this.#writeOn(rest);
      const part = rest.subarray(0, this.#chunk - this.#filled);
      this.#filling.set(part, this.#filled);
      this.#filled += part.byteLength;
      at += part.byteLength;
    }
  }

  /** Sends the full buffer on its way and fills the other one. */
  async #turn(): Promise<void> {
    if (!(await this.#isSent())) return await this.#switch();
    if (!this.#begun) await this.#begin();
    if (this.#options.stream) return await this.#switch();
    const [base, buffer] = [this.#base, this.#filling];
    this.#sending = this.#send(base, buffer);
    this.#sending.catch(() => undefined);
    this.#base += buffer.byteLength;
    // The first chunk is kept until the second one is taken: some registries take no second one.
    const isSecond = base === buffer.byteLength;
    this.#kept = isSecond ? this.#first : undefined;
    this.#second = isSecond ? buffer : undefined;
    this.#first = base === 0 ? buffer : undefined;
    this.#filling = this.#spare ?? new Uint8Array(this.#chunk);
    this.#spare = base === 0 || isSecond ? undefined : buffer;
    this.#filled = 0;
  }

  /** False: the registry has refused this way of sending, and all that was sent is still here. */
  async #isSent(): Promise<boolean> {
    try {
      await this.#sending;
      return true;
    } catch (error) {
      const held = this.#putOnly ? this.#first : this.#second && this.#kept;
      if (!held || !hasCode(error, "registry")) throw error;
      return false;
    }
  }

  /** From chunks to one long body, which begins with what is still here. */
  async #switch(): Promise<void> {
    const sent = this.#putOnly ? [this.#first] : [this.#kept, this.#second];
    const held = [...sent, this.#filling.subarray(0, this.#filled)];
    this.#filled = 0;
    if (!this.#putOnly) await this.#options.onlyStreams?.();
    const pipe = new BytePipe();
    this.#pipe = pipe;
    const { expected } = this.#options;
    const body = { stream: pipe.stream, ...(expected ? { length: expected.size } : {}) };
    this.#sending =
      this.#putOnly && expected
        ? this.#upload.completeAtOnce(expected, async () => body)
        : this.#upload.stream(body);
    this.#sending.catch(() => pipe.end());
    for (const part of held) if (part && part.byteLength > 0) await this.#writeOn(part);
  }

  async #writeOn(part: Bytes): Promise<void> {
    await this.#options.rate?.pass(part.byteLength);
    await this.#pipe?.write(part);
  }

  async #begin(): Promise<void> {
    this.#begun = true;
    const { expected, mountFrom } = this.#options;
    const state = await this.#upload.begin(expected?.digest, expected ? mountFrom : []);
    this.#mounted = state === "mounted";
  }

  async #send(base: number, buffer: Bytes): Promise<void> {
    if (this.#mounted) return;
    await this.#options.rate?.pass(buffer.byteLength);
    const parts = (from: number, to: number) =>
      from < base ? undefined : buffer.subarray(from - base, to - base);
    const result = await this.#upload.send(base + buffer.byteLength, parts);
    this.#putOnly = result === "refused" && this.#options.expected !== undefined;
    if (result === "refused")
      throw new DavitError("registry", "Cannot push from a pipe: the registry takes no PATCH requests", {
        hint: "push from a file",
      });
  }

  digest(): Digest {
    this.#digest ??= this.#digester.digest();
    return this.#digest;
  }

  async commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    const actual: Descriptor = { mediaType, digest: this.digest(), size: this.offset };
    try {
      if (expected && (expected.digest !== actual.digest || expected.size !== actual.size))
        throw differs(expected, actual);
      if (!(await this.#isSent())) await this.#switch();
      await this.#finish(actual);
      return actual;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async #finish(actual: Descriptor): Promise<void> {
    if (this.#pipe) {
      this.#pipe.end();
      await this.#sending;
      if (!this.#putOnly) await this.#upload.complete(actual, () => undefined);
      return;
    }
    const rest = this.#filling.subarray(0, this.#filled);
    if (!this.#begun) {
      await this.#begin();
      if (!this.#mounted && this.offset <= SMALL) return await this.#upload.completeAtOnce(actual, rest);
    }
    if (this.#mounted) return;
    await this.#options.rate?.pass(rest.byteLength);
    const base = this.#base;
    const parts = (from: number, to: number) =>
      from < base ? undefined : rest.subarray(from - base, to - base);
    try {
      if ((await this.#upload.complete(actual, parts)) === "sent") return;
    } catch (error) {
      if (!this.#first || !hasCode(error, "registry")) throw error;
      await this.#options.onlyStreams?.();
    }
    await this.#upload.completeAtOnce(actual, concat(this.#first ? [this.#first, rest] : [rest]));
  }

  async abort(): Promise<void> {
    this.#pipe?.end();
    await this.#sending?.catch(() => undefined);
    if (this.#begun) await this.#upload.cancel();
  }
}

function differs(expected: Descriptor, actual: { digest: Digest; size: number }): DavitError {
  return new DavitError(
    "mismatch",
    `Cannot push ${expected.digest} (${expected.size} bytes): got ${actual.digest} (${actual.size} bytes)`,
    { hint: "the content is damaged where it comes from; make or fetch it again" },
  );
}
