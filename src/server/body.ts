import { type Bytes, collect } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { Garbage } from "../garbage.ts";
import { Rooms } from "../room.ts";

/** Bytes of bodies that are worked on in one round of the event loop. */
const ROUND = 16 * 1024 * 1024;

/** How much memory text takes beside its bytes while it is read: decoded, parsed, and copied into answers. */
const COPIES = 12;

const texts = new Garbage();

/** How many bytes of bodies that are read whole one login may have on their way: it may send them slowly. */
const MOST_WHOLE = 16 * 1024 * 1024;

const rooms = new Rooms(MOST_WHOLE);

/** Reads a body whole; throws `invalid` where it has more than `limit` bytes. Bodies of one login wait for each other where they have too many bytes together. */
export async function wholeBody(
  request: Request,
  login: string,
  limit: number,
  what: string,
): Promise<Bytes> {
  const body: ReadableStream<Bytes> | null = request.body;
  if (!body) return new Uint8Array(0);
  const size = Number(request.headers.get("content-length")) || limit;
  if (size > limit) throw new DavitError("invalid", `${what} is larger than ${limit} bytes`);
  return await rooms.with(login, size, async () => {
    const bytes = await collect(body, limit, what);
    // The collector comes too late by itself where large ones follow each other.
    texts.made(bytes.byteLength * COPIES);
    // Parsing it holds the event loop: one large body in each round.
    await nextRound(bytes.byteLength * COPIES);
    return bytes;
  });
}

let left = ROUND;
let round: Promise<void> | undefined;

/** Waits for a round with room for these bytes. Between rounds small requests are answered. */
async function nextRound(bytes: number): Promise<void> {
  while (left <= 0) {
    round ??= new Promise((resolve) => {
      setImmediate(() => {
        left = ROUND;
        round = undefined;
        resolve();
      });
    });
    await round;
  }
  left -= bytes;
}

/** A request's body, its chunks given back as they are used. */
export async function* bodyOf(request: Request): AsyncGenerator<Bytes> {
  const body: ReadableStream<Bytes> | null = request.body;
  if (!body) return;
  const garbage = new Garbage();
  for await (const chunk of body) {
    await nextRound(chunk.byteLength);
    yield chunk;
    garbage.free(chunk);
  }
}
