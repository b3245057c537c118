import { type ByteStream, type Bytes, toReadable } from "../bytes.ts";
import { Garbage } from "../garbage.ts";
import { idleTimeout } from "../silence.ts";

/** A body that is read as it is sent. */
export interface StreamBody {
  stream: ByteStream;
  /** In bytes; without it the body goes out in HTTP chunks. */
  length?: number;
}

/** Ends a request on which nothing has moved for too long. */
export class Watch {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;
  limit = idleTimeout();
  /** What the body's own source failed with: its error, not the link's. */
  sourceFailure: unknown;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get expired(): boolean {
    return this.#controller.signal.aborted;
  }

  start(patience = 0): void {
    clearTimeout(this.#timer);
    this.limit = Math.max(patience, idleTimeout());
    this.#timer = setTimeout(() => this.#controller.abort(), this.limit);
  }

  /** While the source is asked for bytes, the other side cannot be blamed for silence. */
  stop(): void {
    clearTimeout(this.#timer);
  }
}

/** A body as fetch takes it, watched while it is read. */
export function outgoing(body: string | Bytes | StreamBody | undefined, watch: Watch) {
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  if (body === undefined || typeof body === "string" || body instanceof Uint8Array)
    return { body: body ?? null, headers: {}, ended };
  const headers: Record<string, string> =
    body.length === undefined ? {} : { "content-length": String(body.length) };
  return { body: toReadable(watched(body.stream, watch, end)), headers, ended };
}

async function* watched(stream: ByteStream, watch: Watch, end: () => void): AsyncGenerator<Bytes> {
  const garbage = new Garbage();
  try {
    watch.stop();
    for await (const chunk of stream) {
      watch.start();
      yield chunk;
      garbage.made(chunk.byteLength);
      watch.stop();
    }
  } catch (error) {
    watch.sourceFailure = error;
    throw error;
  }
  end();
}
