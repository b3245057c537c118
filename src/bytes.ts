import { DavitError } from "./errors.ts";
import { LineSplitter } from "./lines.ts";

/** Bytes with a plain buffer behind them: what `fetch`, files and hashes all take. */
export type Bytes = Uint8Array<ArrayBuffer>;

/**
 * Bytes on the move: read once, in order. A `ReadableStream` is one, and so is
 * an async generator. Leaving a `for await` early releases the source. A chunk is
 * good until the next one is asked for: its buffer is then filled again, so who
 * keeps a chunk copies it.
 */
export type ByteStream = AsyncIterable<Bytes>;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export function encode(text: string): Bytes {
  return encoder.encode(text);
}

export function decode(bytes: Uint8Array): string {
  return decoder.decode(bytes);
}

export async function* streamOf(...chunks: Bytes[]): AsyncGenerator<Bytes> {
  for (const chunk of chunks) yield chunk;
}

export function concat(chunks: Uint8Array[]): Bytes {
  const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let offset = 0;
  for (const chunk of chunks) {
    whole.set(chunk, offset);
    offset += chunk.byteLength;
  }
  return whole;
}

/** Reads a whole stream into memory; more than `limit` bytes is an error that names `what`. */
export async function collect(stream: ByteStream, limit: number, what: string): Promise<Bytes> {
  const chunks: Bytes[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.byteLength;
    if (size > limit)
      throw new DavitError("invalid", `Cannot read ${what}: it is larger than ${limit} bytes`);
    chunks.push(chunk.slice());
  }
  return concat(chunks);
}

/** A stream's first chunks, `length` bytes at least where there are so many, and the whole stream again. */
export async function peek(stream: ByteStream, length: number): Promise<{ head: Bytes; rest: ByteStream }> {
  const source = stream[Symbol.asyncIterator]();
  let head = new Uint8Array(0);
  while (head.byteLength < length) {
    const { done, value } = await source.next();
    if (done) break;
    head = concat([head, value]);
  }
  async function* rest(): AsyncGenerator<Bytes> {
    try {
      if (head.byteLength > 0) yield head;
      for (;;) {
        const { done, value } = await source.next();
        if (done) return;
        yield value;
      }
    } finally {
      await source.return?.();
    }
  }
  return { head, rest: rest() };
}

/** Reads a stream to its end and counts its bytes. */
export async function drain(stream: ByteStream): Promise<number> {
  let size = 0;
  for await (const chunk of stream) size += chunk.byteLength;
  return size;
}

/** Passes a stream through until the signal ends it, even while the source says nothing. */
export async function* abortable(stream: ByteStream, signal: AbortSignal): AsyncGenerator<Bytes> {
  const source = stream[Symbol.asyncIterator]();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  aborted.catch(() => undefined);
  const abort = (): void => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    signal.throwIfAborted();
    for (;;) {
      const { done, value } = await Promise.race([source.next(), aborted]);
      if (done) return;
      yield value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    void source.return?.()?.catch(() => undefined);
  }
}

/** A stream up to so many bytes. */
export async function* firstBytes(stream: ByteStream, count: number): AsyncGenerator<Bytes> {
  let left = count;
  for await (const chunk of stream) {
    yield chunk.subarray(0, left);
    left -= chunk.byteLength;
    if (left <= 0) return;
  }
}

/** A stream as the body of a request or response. */
export function toReadable(stream: ByteStream): ReadableStream<Bytes> {
  if (stream instanceof ReadableStream) return stream;
  const iterator = stream[Symbol.asyncIterator]();
  return new ReadableStream<Bytes>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value.slice());
    },
    async cancel() {
      await iterator.return?.();
    },
  });
}

/** The longest line of a stream, in characters: engines send long lines of JSON. */
const MAX_LINE = 16 * 1024 * 1024;

/** Splits a stream into lines, without their line ends; the last may lack one. Longer lines than `MAX_LINE` are broken. */
export async function* lines(stream: ByteStream): AsyncGenerator<string> {
  const text = new TextDecoder();
  const splitter = new LineSplitter(MAX_LINE);
  for await (const chunk of stream) yield* splitter.push(text.decode(chunk, { stream: true }));
  yield* splitter.push(text.decode());
  yield* splitter.end();
}
