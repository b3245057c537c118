import type { ByteStream, Bytes } from "../bytes.ts";
import { framed } from "./multiplexed.ts";
import type { Upgraded } from "./upgrade.ts";

/** Columns and rows of a terminal. */
export interface TerminalSize {
  columns: number;
  rows: number;
}

/** The three streams of a process, as whoever runs a command has them. */
export interface Attachment {
  /** Undefined is nothing to read. */
  stdin: ByteStream | undefined;
  /** Resolves when there is room for more. */
  write(output: "stdout" | "stderr", bytes: Bytes): Promise<void>;
  /** Set where it is a terminal; told anew when that is resized. */
  terminal?: { size: TerminalSize; resizes: AsyncIterable<TerminalSize> } | undefined;
  signal: AbortSignal;
}

/** Joins a process's streams with ours until it has ended. A terminal has one output. */
export async function attached({ socket, head }: Upgraded, to: Attachment): Promise<void> {
  const abort = (): void => void socket.destroy();
  to.signal.addEventListener("abort", abort);
  const sending = send(socket, to.stdin).catch(() => undefined);
  try {
    const bytes = received(socket, head);
    if (to.terminal) for await (const chunk of bytes) await to.write("stdout", chunk);
    else for await (const { output, bytes: part } of framed(bytes)) await to.write(output, part);
    to.signal.throwIfAborted();
  } finally {
    to.signal.removeEventListener("abort", abort);
    socket.destroy();
    // Who types may have nothing more to say, and is not waited for.
    void sending;
  }
}

async function* received(socket: Upgraded["socket"], head: Buffer): AsyncGenerator<Bytes> {
  if (head.byteLength > 0) yield new Uint8Array(head);
  for await (const chunk of socket) yield new Uint8Array(chunk);
}

async function send(socket: Upgraded["socket"], stdin: ByteStream | undefined): Promise<void> {
  for await (const chunk of stdin ?? []) {
    if (socket.destroyed) return;
    // Its buffer is used again.
    if (socket.write(chunk.slice())) continue;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.once("drain", resolve);
    socket.once("close", resolve);
    await promise;
  }
  socket.end();
}
