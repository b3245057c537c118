import type { Bytes } from "../bytes.ts";
import { Garbage } from "../garbage.ts";

/** Bytes of bodies that are worked on in one round of the event loop. */
const ROUND = 16 * 1024 * 1024;

/** How much memory text takes beside its bytes while it is read: decoded, parsed, and copied into answers. */
const COPIES = 12;

const texts = new Garbage();

/** Tells the collector of a body that was read whole: it comes too late by itself where large ones follow each other. */
export function readWhole(bytes: number): void {
  texts.made(bytes * COPIES);
}

let left = ROUND;
let round: Promise<void> | undefined;

/** In between rounds small requests are answered. */
async function takeTurn(bytes: number): Promise<void> {
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
    await takeTurn(chunk.byteLength);
    yield chunk;
    garbage.free(chunk);
  }
}
