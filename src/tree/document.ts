import { type ByteStream, type Bytes, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { type Hash, hashOf, isHash } from "./listing.ts";

/*
 * Directories on the wire: `HASH LENGTH` on a line and the listing, or
 * `HASH -` for one that the other side is asked about, or known to have.
 */

/** The longest listing that is read, in bytes: some hundred thousand names. */
const MAX_LISTING = 32 * 1024 * 1024;
/** A hash, a space, a length. */
const MAX_LINE = 80;
const BATCH = 64 * 1024;

export interface Spoken {
  hash: Hash;
  listing?: string;
}

export function* writeDocument(directories: Iterable<Spoken>): Generator<Bytes> {
  let waiting = "";
  for (const { hash, listing } of directories) {
    waiting += listing === undefined ? `${hash} -\n` : `${hash} ${Buffer.byteLength(listing)}\n${listing}`;
    if (waiting.length < BATCH) continue;
    yield encode(waiting);
    waiting = "";
  }
  yield encode(waiting);
}

/** Reads a document as it comes, of `limit` bytes at most; every listing is what its hash says. */
export async function* readDocument(
  stream: ByteStream,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<Spoken> {
  const text = new Reader(stream, limit);
  for (;;) {
    const line = await text.line();
    if (line === undefined) return;
    const [hash = "", length = ""] = line.split(" ");
    if (!isHash(hash) || !/^(-|\d{1,9})$/.test(length)) throw bad("a line is not like HASH LENGTH");
    if (length === "-") yield { hash };
    else yield { hash, listing: whole(hash, await text.bytes(Number(length))) };
  }
}

function whole(hash: Hash, bytes: Buffer): string {
  if (hashOf(bytes) !== hash) throw bad("a listing is not what its hash says");
  return bytes.toString("utf8");
}

/** Lines and pieces of a stream. */
class Reader {
  readonly #source: AsyncIterator<Bytes>;
  #held = Buffer.alloc(0);
  #left: number;

  constructor(stream: ByteStream, limit: number) {
    this.#source = stream[Symbol.asyncIterator]();
    this.#left = limit;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done) return false;
    this.#left -= value.byteLength;
    if (this.#left < 0) throw new DavitError("unsupported", "the source's tree is too large");
    this.#held = Buffer.concat([this.#held, value]);
    return true;
  }

  async line(): Promise<string | undefined> {
    for (;;) {
      const end = this.#held.indexOf(0x0a);
      if (end >= 0) return this.#take(end + 1).toString("utf8", 0, end);
      if (this.#held.byteLength > MAX_LINE) throw bad("a line is too long");
      if (await this.#more()) continue;
      if (this.#held.byteLength > 0) throw bad("it ends in the middle");
      return undefined;
    }
  }

  async bytes(length: number): Promise<Buffer> {
    if (length > MAX_LISTING) throw bad(`a directory's listing is larger than ${MAX_LISTING} bytes`);
    while (this.#held.byteLength < length) if (!(await this.#more())) throw bad("it ends in the middle");
    return this.#take(length);
  }

  #take(length: number): Buffer {
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }
}

function bad(why: string): DavitError {
  return new DavitError("invalid", `Cannot read the source's tree: ${why}`);
}
