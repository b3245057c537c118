import type { Transform } from "node:stream";
import { type ByteStream, type Bytes, peek } from "./bytes.ts";
import { DavitError, reasonOf } from "./errors.ts";
import { Garbage } from "./garbage.ts";

/** A stream may grow this many times when decompressed, once past the allowance. */
const MAX_RATIO = 200;
const ALLOWANCE = 64 * 1024 * 1024;

type Format = "gzip" | "zstd" | "none";

/** Undoes gzip (any number of members) or zstd around a stream, as its first bytes tell; others pass through. */
export async function* decompressed(stream: ByteStream): AsyncGenerator<Bytes> {
  const { head, rest } = await peek(stream, 4);
  const format = sniff(head);
  if (format === "none") return yield* rest;
  const inner = await peek(limited(rest, format), 4);
  if (sniff(inner.head) !== "none") throw bad("it is compressed twice");
  yield* inner.rest;
}

export function sniff(head: Uint8Array): Format {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return "zstd";
  return "none";
}

async function* limited(stream: ByteStream, format: "gzip" | "zstd"): AsyncGenerator<Bytes> {
  const garbage = new Garbage();
  let input = 0;
  let output = 0;
  async function* counted(): AsyncGenerator<Bytes> {
    for await (const chunk of stream) {
      input += chunk.byteLength;
      garbage.made(chunk.byteLength);
      yield chunk.slice();
    }
  }
  const inflated = format === "gzip" ? gunzip(counted()) : unzstd(counted());
  for await (const chunk of inflated) {
    output += chunk.byteLength;
    if (output > ALLOWANCE && output > input * MAX_RATIO)
      throw bad(`it grows more than ${MAX_RATIO} times when decompressed`);
    yield chunk;
    garbage.free(chunk);
  }
}

/** node:zlib, because `DecompressionStream` refuses the zero padding that some gzip files end with. */
async function* gunzip(stream: ByteStream): AsyncGenerator<Bytes> {
  const [{ createGunzip }, { Readable, pipeline }] = await Promise.all([
    import("node:zlib"),
    import("node:stream"),
  ]);
  const unzip = createGunzip({ chunkSize: 1 << 18 });
  let failure: unknown;
  pipeline(Readable.from(stream, { objectMode: false }), unzip, (error) => {
    failure = error;
  });
  try {
    for await (const chunk of unzip) yield new Uint8Array(chunk);
  } catch (error) {
    throw wrapped(failure ?? error, "gzip");
  } finally {
    unzip.destroy();
  }
}

/** The web stream, because node:zlib takes a cut zstd frame for a whole one. */
async function* unzstd(stream: ByteStream): AsyncGenerator<Bytes> {
  const { toReadable } = await import("./bytes.ts");
  // Bun knows "zstd" here; the DOM's types do not yet.
  const inflater: DecompressionStream = Reflect.construct(DecompressionStream, ["zstd"]);
  const inflated = toReadable(stream).pipeThrough(inflater);
  try {
    for await (const chunk of inflated) yield chunk;
  } catch (error) {
    throw wrapped(error, "zstd");
  }
}

/** Gzip around a stream, at the lowest level: most of what travels is compressed already. */
export async function* gzipped(stream: ByteStream): AsyncGenerator<Bytes> {
  const { createGzip } = await import("node:zlib");
  yield* through(stream, createGzip({ level: 1, chunkSize: 1 << 18 }));
}

/** zstd around a stream: smaller than that gzip, in a quarter of its time, for readers that know it. */
export async function* zstandard(stream: ByteStream): AsyncGenerator<Bytes> {
  const { createZstdCompress } = await import("node:zlib");
  yield* through(stream, createZstdCompress({ chunkSize: 1 << 18 }));
}

async function* through(stream: ByteStream, compressor: Transform): AsyncGenerator<Bytes> {
  const { Readable, pipeline } = await import("node:stream");
  let failure: unknown;
  async function* copied() {
    for await (const chunk of stream) yield chunk.slice();
  }
  pipeline(Readable.from(copied(), { objectMode: false }), compressor, (error) => {
    failure = error;
  });
  try {
    for await (const chunk of compressor) yield new Uint8Array(chunk);
  } catch (error) {
    throw failure ?? error;
  }
}

function wrapped(error: unknown, format: string): DavitError {
  if (error instanceof DavitError) return error;
  return bad(`its ${format} data is damaged (${reasonOf(error)})`, error);
}

function bad(reason: string, cause?: unknown): DavitError {
  return new DavitError("bad-archive", `Cannot read the archive: ${reason}`, {
    cause,
    hint: "the archive is damaged or not made for this; make or copy it again",
  });
}
