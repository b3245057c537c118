/// <reference lib="webworker" />
import { DavitError, reasonOf } from "../errors.ts";
import { readConvoxYml } from "./convox-yml.ts";
import type { ReadAnswer, ReadTask } from "./read-thread.ts";

declare const self: DedicatedWorkerGlobalScope;

// A broken text gives thousands of errors, whose stacks would fill the memory.
Error.stackTraceLimit = 0;

self.onmessage = async ({ data }: MessageEvent<ReadTask>) => {
  self.postMessage(await answer(data));
  Bun.gc(true);
};

async function answer({ text, file }: ReadTask): Promise<ReadAnswer> {
  try {
    return { manifest: await readConvoxYml(text, file) };
  } catch (error) {
    return { error: error instanceof DavitError ? error.message : `Cannot use ${file}: ${reasonOf(error)}` };
  }
}
