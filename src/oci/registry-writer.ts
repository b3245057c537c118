import { type Bytes, concat } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { RateLimit } from "../http/rate-limit.ts";
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
  #filling: Bytes;
  #spare: Bytes | undefined;
  #filled = 0;
  /** Where in the blob the buffer that is being filled begins. */
  #base = 0;
  #sending: Promise<void> | undefined;
  #begun = false;
  #mounted = false;
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
    for (let at = 0; at < chunk.byteLength; ) {
      if (this.#filled === this.#chunk) await this.#turn();
      const part = chunk.subarray(at, at + this.#chunk - this.#filled);
      this.#filling.set(part, this.#filled);
      this.#filled += part.byteLength;
      at += part.byteLength;
    }
  }

  /** Sends the full buffer on its way and fills the other one. */
  async #turn(): Promise<void> {
    await this.#sending;
    if (!this.#begun) await this.#begin();
    const [base, buffer] = [this.#base, this.#filling];
    this.#sending = this.#send(base, buffer);
    this.#sending.catch(() => undefined);
    this.#base += buffer.byteLength;
    this.#filling = this.#spare ?? new Uint8Array(this.#chunk);
    this.#spare = buffer;
    this.#filled = 0;
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
    if (result === "refused")
      throw new DavitError("registry", "Cannot push from a pipe: the registry takes no PATCH requests", {
        hint: "push from a file",
      });
  }

  async commit(mediaType: string, expected?: Descriptor): Promise<Descriptor> {
    const actual: Descriptor = { mediaType, digest: this.#digester.digest(), size: this.offset };
    try {
      if (expected && (expected.digest !== actual.digest || expected.size !== actual.size))
        throw differs(expected, actual);
      await this.#sending;
      await this.#finish(actual);
      return actual;
    } catch (error) {
      await this.abort();
      throw error;
    }
  }

  async #finish(actual: Descriptor): Promise<void> {
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
    if ((await this.#upload.complete(actual, parts)) === "refused")
      await this.#upload.completeAtOnce(actual, concat([rest]));
  }

  async abort(): Promise<void> {
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
