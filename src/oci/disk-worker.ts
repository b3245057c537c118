/// <reference lib="webworker" />
import { writeSync } from "node:fs";
import { Digester } from "./digest.ts";

declare const self: DedicatedWorkerGlobalScope;

/** The first message: memory that both threads see, in slots. */
export interface DiskSlots {
  slots: SharedArrayBuffer[];
}
/** What fills part of a slot, to hash and to write at its place in a file; without a slot the region is over. */
export interface DiskTask {
  region: number;
  algorithm: "sha256" | "sha512";
  fd: number;
  at: number;
  slot?: number;
  length: number;
}
/** A slot that is free again, or a region's digest, or what the disk said. */
export interface DiskResult {
  region: number;
  slot?: number;
  digest?: string;
  failure?: { code: string; message: string };
}

const digesters = new Map<number, Digester>();
let slots: Uint8Array<SharedArrayBuffer>[] = [];

self.onmessage = ({ data }: MessageEvent<DiskSlots | DiskTask>) => {
  if ("slots" in data) slots = data.slots.map((slot) => new Uint8Array(slot));
  else self.postMessage(done(data));
};

function done(task: DiskTask): DiskResult {
  const { region, slot } = task;
  const digester = digesters.get(region) ?? new Digester(task.algorithm);
  digesters.set(region, digester);
  const piece = slot === undefined ? undefined : slots[slot]?.subarray(0, task.length);
  if (slot !== undefined && piece) return { region, slot, ...write(task, piece, digester) };
  digesters.delete(region);
  return { region, digest: digester.digest() };
}

function write({ fd, at }: DiskTask, piece: Uint8Array, digester: Digester): Pick<DiskResult, "failure"> {
  try {
    digester.update(piece);
    const { length } = piece;
    for (let done = 0; done < length; ) done += writeSync(fd, piece, done, length - done, at + done);
    return {};
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    return { failure: { code, message: error instanceof Error ? error.message : String(error) } };
  }
}
