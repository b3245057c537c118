/// <reference lib="webworker" />
import type { Bytes } from "../bytes.ts";

declare const self: DedicatedWorkerGlobalScope;

/** A piece to compress, and the same buffer back with what became of it. */
export interface GzipTask {
  id: number;
  buffer: ArrayBuffer;
  length: number;
}
export interface GzipResult {
  id: number;
  buffer: ArrayBuffer;
  output: Bytes;
}

const LEVEL = 1;
const SAMPLE = 8 * 1024;
const SAMPLE_EVERY = 256 * 1024;
/** Samples that shrink less than this are not worth compressing. */
const WORTH = 0.97;

self.onmessage = ({ data }: MessageEvent<GzipTask>) => {
  const piece = new Uint8Array(data.buffer, 0, data.length);
  const output = Bun.gzipSync(piece, { level: isWorth(piece) ? LEVEL : 0, library: "libdeflate" });
  const result: GzipResult = { id: data.id, buffer: data.buffer, output };
  self.postMessage(result, [data.buffer, output.buffer]);
};

/** Whether any sample of the piece compresses: media, archives and random bytes are stored as they are. */
function isWorth(piece: Bytes): boolean {
  for (let at = 0; at < piece.byteLength; at += SAMPLE_EVERY) {
    const sample = piece.subarray(at, at + SAMPLE);
    if (Bun.deflateSync(sample, { level: 1, library: "libdeflate" }).byteLength < sample.byteLength * WORTH)
      return true;
  }
  return false;
}
