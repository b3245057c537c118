import { read } from "node:fs";
import { type ByteStream, type Bytes, collect, decode } from "./bytes.ts";
import { systemCode, systemError } from "./errors.ts";
import { blockingTwin, knownTwin, widen } from "./pipes.ts";

const PIECE = 256 * 1024;

/**
 * A pipe's or a file's bytes, read only as fast as they are used: two buffers in
 * turn, one read ahead. (`Bun.stdin.stream()` reads on without end while its
 * consumer waits for a disk: 2.7 GB were seen in memory.)
 */
export async function* readFd(fd: number, what: string): AsyncGenerator<Bytes> {
  let [filling, used] = [new Uint8Array(PIECE), new Uint8Array(PIECE)];
  await widen(fd);
  let next = readOnce(fd, filling, what);
  for (;;) {
    const length = await next;
    if (length === 0) return;
    [filling, used] = [used, filling];
    next = readOnce(fd, filling, what);
    next.catch(() => undefined);
    yield used.subarray(0, length);
  }
}

async function readOnce(input: number, buffer: Bytes, what: string): Promise<number> {
  let fd = knownTwin(input);
  for (;;) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    read(fd, buffer, 0, buffer.byteLength, null, (error, length) =>
      error ? reject(error) : resolve(length),
    );
    try {
      return await promise;
    } catch (error) {
      const code = systemCode(error);
      if (code === "EOF") return 0; // how Windows ends a pipe
      if (code !== "EAGAIN") throw systemError(`Cannot read ${what}`, error);
      const twin = blockingTwin(input);
      if (twin === undefined) await Bun.sleep(1);
      fd = twin ?? fd;
    }
  }
}

export const stdin = (): ByteStream => readFd(0, "stdin");

/** What stdin holds, as text. */
export async function stdinText(limit = 16 * 1024 * 1024): Promise<string> {
  return decode(await collect(stdin(), limit, "stdin"));
}
