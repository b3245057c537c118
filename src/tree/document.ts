import { ByteQueue } from "../byte-queue.ts";
import { type ByteStream, type Bytes, decode, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { type Hash, hashOf, isHash } from "./listing.ts";

/*
 * Directories on the wire: `HASH LENGTH` on a line and the listing, or
 * `HASH -` for one that the other side is asked about, or known to have.
 */

/** The longest listing that is read, in bytes: some ten thousand names, which are read at once. */
const MAX_LISTING = 4 * 1024 * 1024;
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

function whole(hash: Hash, bytes: Bytes): string {
  if (hashOf(bytes) !== hash) throw bad("a listing is not what its hash says");
  return Buffer.from(bytes).toString("utf8");
}

/** Lines and pieces of a stream. */
class Reader {
  readonly #source: AsyncIterator<Bytes>;
  readonly #held = new ByteQueue();
  #left: number;

  constructor(stream: ByteStream, limit: number) {
    this.#source = stream[Symbol.asyncIterator]();
    this.#left = limit;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#source.next();
    if (done) return false;
    this.#left -= value.byteLength;
    if (this.#left < 0) throw tooLarge();
    this.#held.push(value);
    return true;
  }

  async line(): Promise<string | undefined> {
    for (;;) {
      const head = this.#held.head(MAX_LINE + 1);
      const end = head.indexOf(0x0a);
      if (end >= 0) {
        this.#held.take(end + 1);
        return decode(head.subarray(0, end));
      }
      if (head.byteLength > MAX_LINE) throw bad("a line is too long");
      if (await this.#more()) continue;
      if (this.#held.size > 0) throw bad("it ends in the middle");
      return undefined;
    }
  }

  async bytes(length: number): Promise<Bytes> {
    if (length > MAX_LISTING) throw tooLarge();
    while (this.#held.size < length) if (!(await this.#more())) throw bad("it ends in the middle");
    return this.#held.take(length);
  }
}

/** Such a source is sent as an archive. */
function tooLarge(): DavitError {
  return new DavitError("unsupported", "the source's tree is too large");
}

function bad(why: string): DavitError {
  return new DavitError("invalid", `Cannot read the source's tree: ${why}`);
}
