import type { ServerWebSocket, WebSocketHandler } from "bun";
import { abortable, type ByteStream } from "../bytes.ts";
import { reasonOf } from "../errors.ts";

/** What a web socket sends: text until its end, or until its reader goes. */
export interface Outgoing {
  stream(signal: AbortSignal): ByteStream;
  gone: AbortController;
  drained?: (() => void) | undefined;
}

/** Bytes that may wait for a slow reader. */
const MOST_WAITING = 1024 * 1024;
/** What readers take for the end of the output. */
const END = new Uint8Array(0);

export function outgoing(stream: Outgoing["stream"]): Outgoing {
  return { stream, gone: new AbortController() };
}

/**
 * Sends a stream in text frames and an empty binary frame after it, as the
 * original does: the reader closes the connection. An error is one more line of text.
 */
export const sockets: WebSocketHandler<Outgoing> = {
  idleTimeout: 120,
  maxPayloadLength: 64 * 1024,
  open: (socket) => void send(socket),
  message: () => undefined,
  drain: ({ data }) => data.drained?.(),
  close: ({ data }) => {
    data.gone.abort();
    data.drained?.();
  },
};

async function send(socket: ServerWebSocket<Outgoing>): Promise<void> {
  const { stream, gone } = socket.data;
  const text = new TextDecoder();
  try {
    for await (const chunk of abortable(stream(gone.signal), gone.signal))
      await frame(socket, text.decode(chunk, { stream: true }));
  } catch (error) {
    if (gone.signal.aborted) return;
    socket.sendText(`ERROR: ${reasonOf(error)}\n`);
  }
  if (!gone.signal.aborted) socket.sendBinary(END);
}

async function frame(socket: ServerWebSocket<Outgoing>, text: string): Promise<void> {
  if (text !== "") socket.sendText(text);
  if (socket.getBufferedAmount() < MOST_WAITING || socket.data.gone.signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  socket.data.drained = resolve;
  await promise;
}
