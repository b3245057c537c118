import type { ByteStream, Bytes } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Descriptor } from "./descriptor.ts";
import { Digester, digestAlgorithm } from "./digest.ts";

/**
 * Passes a stream through and throws at its end, or as soon as it is too long,
 * unless its size and digest are the descriptor's. Every whole read goes through
 * here, so no caller can forget one of the three checks.
 */
export async function* verified(stream: ByteStream, expected: Descriptor): AsyncGenerator<Bytes> {
  const check = new Verifier(expected);
  for await (const chunk of stream) {
    check.update(chunk);
    yield chunk;
  }
  check.end();
}

/** The same check for code that pushes chunks instead of pulling them. */
export class Verifier {
  readonly #expected: Descriptor;
  readonly #digester: Digester;
  #size = 0;

  constructor(expected: Descriptor) {
    this.#expected = expected;
    this.#digester = new Digester(digestAlgorithm(expected.digest));
  }

  update(chunk: Uint8Array): void {
    this.#size += chunk.byteLength;
    if (this.#size > this.#expected.size)
      throw this.#wrong(`more than the promised ${this.#expected.size} bytes`);
    this.#digester.update(chunk);
  }

  end(): void {
    if (this.#size < this.#expected.size) throw this.#wrong(`${this.#size} of ${this.#expected.size} bytes`);
    const actual = this.#digester.digest();
    if (actual !== this.#expected.digest) throw this.#wrong(`bytes with digest ${actual}`);
  }

  #wrong(got: string): DavitError {
    return new DavitError("mismatch", `Cannot verify ${this.#expected.digest}: got ${got}`, {
      hint: "the content is damaged where it comes from; make or fetch it again",
    });
  }
}
