import { DavitError } from "../errors.ts";
import type { Manifest } from "./convox-yml.ts";

/** The message to a thread: a manifest's text, and the name of its file for messages. */
export interface ReadTask {
  text: string;
  file: string;
}

/** The thread's answer: the manifest, or an error's message. */
export type ReadAnswer = { manifest: Manifest } | { error: string };

/** How long reading may take, in milliseconds: honest manifests take some hundred at most. */
const PATIENCE = 3000;
/** How long a thread that has nothing to do is kept, in milliseconds. */
const IDLE = 2000;
/** The thread is ended after a text longer than this, in characters, to give its memory back. */
const LARGE = 8 * 1024;

let last: Promise<unknown> = Promise.resolve();
let worker: Worker | undefined;
let idle: ReturnType<typeof setTimeout> | undefined;

/**
 * Reads a manifest in a thread, one at a time: the library that reads YAML takes seconds for
 * texts that are made to be slow. One that takes longer than `PATIENCE` is an error.
 */
export function readInThread(task: ReadTask): Promise<Manifest> {
  const reading = last.then(() => read(task));
  last = reading.catch(() => undefined);
  return reading;
}

async function read(task: ReadTask): Promise<Manifest> {
  clearTimeout(idle);
  worker ??= new Worker(workerUrl(), { smol: true });
  const thread = worker;
  const { promise, resolve, reject } = Promise.withResolvers<ReadAnswer>();
  thread.onmessage = ({ data }: MessageEvent<ReadAnswer>) => resolve(data);
  thread.onerror = (event) => reject(unreadable(task, `reading it failed: ${event.message}`));
  const timer = setTimeout(() => reject(unreadable(task, "reading it takes too long")), PATIENCE);
  thread.postMessage(task);
  try {
    const answer = await promise;
    if ("manifest" in answer) return answer.manifest;
    throw new DavitError("invalid", answer.error);
  } catch (error) {
    end();
    throw error;
  } finally {
    clearTimeout(timer);
    if (task.text.length > LARGE) end();
    idle = setTimeout(end, IDLE);
    idle.unref();
  }
}

function end(): void {
  worker?.terminate();
  worker = undefined;
}

function unreadable({ file }: ReadTask, why: string): DavitError {
  return new DavitError("invalid", `Cannot use ${file}: ${why}`);
}

/** In a compiled binary, modules lie in chunks at the root, and the worker, an entry point of its own, below it. */
function workerUrl(): string {
  const compiled = /\$bunfs|~BUN/.test(import.meta.url);
  return new URL(compiled ? "./manifest/read-worker.js" : "./read-worker.ts", import.meta.url).href;
}
