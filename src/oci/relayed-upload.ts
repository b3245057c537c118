import type { ByteStream } from "../bytes.ts";
import { DavitError, hasCode } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import type { RegistryUpload } from "./registry-upload.ts";

/** What an upload is to whoever passes it on: where it stands in the registry, and how much that takes at once. */
export interface OpenUpload {
  upload: RegistryUpload;
  /** Bytes in one request. */
  chunk: number;
}

/**
 * An upload that clients make to us and we to a registry, which keeps all of its
 * state: any process can go on with it. A client's link may break at any byte, and
 * the registry still gets whole requests.
 */
export class RelayedUpload {
  readonly #upload: RegistryUpload;
  readonly #chunk: number;
  #done = false;

  private constructor({ upload, chunk }: OpenUpload) {
    this.#upload = upload;
    this.#chunk = chunk;
  }

  static async open(open: OpenUpload): Promise<RelayedUpload> {
    await open.upload.begin();
    return new RelayedUpload(open);
  }

  get offset(): number {
    return this.#upload.offset;
  }

  /** What came before a link broke is sent on, and kept there. */
  async append(stream: ByteStream): Promise<void> {
    const buffer = new Uint8Array(this.#chunk);
    let filled = 0;
    const flush = async (): Promise<void> => {
      if (filled > 0) await this.#send(buffer.subarray(0, filled));
      filled = 0;
    };
    try {
      for await (const chunk of stream)
        for (let at = 0; at < chunk.byteLength; ) {
          const part = chunk.subarray(at, at + buffer.byteLength - filled);
          buffer.set(part, filled);
          filled += part.byteLength;
          at += part.byteLength;
          if (filled === buffer.byteLength) await flush();
        }
    } finally {
      await flush();
    }
  }

  async #send(part: Uint8Array<ArrayBuffer>): Promise<void> {
    const base = this.offset;
    const parts = (from: number, to: number) =>
      from < base ? undefined : part.subarray(from - base, to - base);
    if ((await this.#upload.send(base + part.byteLength, parts)) === "refused")
      throw new DavitError("registry", "Cannot pass an upload on: the registry takes no PATCH requests");
  }

  async commit(expected: Descriptor): Promise<Descriptor> {
    try {
      await this.#upload.complete(expected, () => undefined);
      this.#done = true;
      return expected;
    } catch (error) {
      await this.#upload.cancel();
      if (!hasCode(error, "registry") || !/DIGEST_INVALID|digest/i.test(error.message)) throw error;
      throw new DavitError("mismatch", error.message, { cause: error });
    }
  }

  async remove(): Promise<void> {
    if (!this.#done) await this.#upload.cancel();
  }
}
