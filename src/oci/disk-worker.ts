/// <reference lib="webworker" />
import { writeSync } from "node:fs";
import { Digester } from "./digest.ts";

declare const self: DedicatedWorkerGlobalScope;

/** A piece to hash and to write at its place in a file; without a buffer the region is over. */
export interface DiskTask {
  region: number;
  algorithm: "sha256" | "sha512";
  fd: number;
  at: number;
  length: number;
  buffer?: ArrayBuffer;
  /** The buffer comes back, to be filled again. */
  returned: boolean;
}
/** What was done, and the buffer back, or a region's digest, or what the disk said. */
export interface DiskResult {
  region: number;
  done?: number;
  buffer?: ArrayBuffer;
  digest?: string;
  failure?: { code: string; message: string };
}

const digesters = new Map<number, Digester>();

self.onmessage = ({ data }: MessageEvent<DiskTask>) => {
  const { region, buffer } = data;
  const digester = digesters.get(region) ?? new Digester(data.algorithm);
  digesters.set(region, digester);
  if (!buffer) {
    digesters.delete(region);
    self.postMessage({ region, digest: digester.digest() } satisfies DiskResult);
    return;
  }
  const failure = write(data, new Uint8Array(buffer, 0, data.length), digester);
  const result: DiskResult = { region, done: data.length, ...(failure ? { failure } : {}) };
  if (data.returned) self.postMessage({ ...result, buffer }, [buffer]);
  else self.postMessage(result);
};

function write({ fd, at, length }: DiskTask, piece: Uint8Array, digester: Digester): DiskResult["failure"] {
  try {
    digester.update(piece);
    for (let done = 0; done < length; ) done += writeSync(fd, piece, done, length - done, at + done);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    return { code, message: error instanceof Error ? error.message : String(error) };
  }
}
