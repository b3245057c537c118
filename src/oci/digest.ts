import { DavitError } from "../errors.ts";

/** `algorithm:hex`, checked: the only form in which a digest travels through davit. */
export type Digest = `sha256:${string}` | `sha512:${string}`;

export type Algorithm = "sha256" | "sha512";

/** https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests */
const PATTERN = /^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;

export function isDigest(text: string): text is Digest {
  return PATTERN.test(text);
}

export function parseDigest(text: string): Digest {
  if (isDigest(text)) return text;
  throw new DavitError(
    "invalid",
    `Cannot read digest ${JSON.stringify(text.slice(0, 200))}: it is not sha256 or sha512 in lower-case hex`,
  );
}

export function digestAlgorithm(digest: Digest): Algorithm {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}

/** The hex part: the blob's file name in a layout. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** A running digest over the bytes it is shown. */
export class Digester {
  readonly #algorithm: Algorithm;
  readonly #hasher: Bun.CryptoHasher;

  constructor(algorithm: Algorithm = "sha256") {
    this.#algorithm = algorithm;
    this.#hasher = new Bun.CryptoHasher(algorithm);
  }

  update(bytes: Uint8Array): void {
    this.#hasher.update(bytes);
  }

  /** Ends the digester. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hasher.digest("hex")}`;
  }
}

export function digestOf(bytes: Uint8Array, algorithm: Algorithm = "sha256"): Digest {
  const digester = new Digester(algorithm);
  digester.update(bytes);
  return digester.digest();
}
