import type { ServerWebSocket, WebSocketHandler } from "bun";
import { abortable, type ByteStream, type Bytes } from "../bytes.ts";
import { reasonOf } from "../errors.ts";
import { Mailbox } from "../mailbox.ts";

/** The other end of a web socket. */
export interface Peer {
  /** The sub-protocol that was agreed to; empty for none. */
  protocol: string;
  received: AsyncIterable<string | Bytes>;
  /** Keeps nothing of what it says from now on. */
  ignore(): void;
  /** Resolves when there is room for more. */
  send(frame: string | Bytes): Promise<void>;
  /** Aborted when it has gone. */
  signal: AbortSignal;
}

/** What is said over a web socket, until its end. */
export type Talk = (peer: Peer) => Promise<void>;

export interface Connection {
  talk: Talk;
  /** Called when the connection is gone. */
  onGone: () => void;
  protocol: string;
  received: Mailbox<string | Bytes>;
  gone: AbortController;
  drained?: PromiseWithResolvers<void> | undefined;
}

/** Bytes that may wait for a slow reader. */
const MOST_WAITING = 1024 * 1024;
/** What readers take for the end of the output. */
const END = new Uint8Array(0);
/** How long a peer may take to close the connection: after the end of the output, and after an error, in milliseconds. */
const LINGER = 10_000;
const LINGER_FAILED = 1000;

export function connection(talk: Talk, protocol = "", onGone: () => void = () => undefined): Connection {
  return { ...{ talk, protocol, onGone }, received: new Mailbox(), gone: new AbortController() };
}

/** Sends a stream in text frames, and listens to nothing. */
export async function sendText(peer: Peer, stream: ByteStream): Promise<void> {
  peer.ignore();
  const text = new TextDecoder();
  for await (const chunk of abortable(stream, peer.signal))
    await peer.send(text.decode(chunk, { stream: true }));
}

/**
 * What is said ends with an empty binary frame, as the original's does: the reader closes
 * the connection, and is not waited for much longer. An error is one more line of text.
 */
export const sockets: WebSocketHandler<Connection> = {
  idleTimeout: 120,
  maxPayloadLength: 64 * 1024,
  open: (socket) => void converse(socket),
  message: ({ data }, frame) => data.received.put(typeof frame === "string" ? frame : new Uint8Array(frame)),
  drain: ({ data }) => wake(data),
  close: ({ data }) => {
    data.gone.abort();
    data.onGone();
    data.received.end();
    wake(data);
  },
};

async function converse(socket: ServerWebSocket<Connection>): Promise<void> {
  const { talk, gone, protocol, received } = socket.data;
  const send = (frame: string | Bytes): Promise<void> => sendFrame(socket, frame);
  let failed = false;
  try {
    await talk({ ...{ protocol, received, send }, ignore: () => received.end(), signal: gone.signal });
  } catch (error) {
    if (gone.signal.aborted) return;
    socket.sendText(`ERROR: ${reasonOf(error)}\n`);
    failed = true;
  } finally {
    // Nobody reads on: what still comes is not kept.
    received.end();
  }
  if (gone.signal.aborted) return;
  socket.sendBinary(END);
  // A close waits for the peer's own, without a limit; a peer that was refused is not waited for.
  const close = setTimeout(
    () => (failed ? socket.terminate() : socket.close()),
    failed ? LINGER_FAILED : LINGER,
  );
  gone.signal.addEventListener("abort", () => clearTimeout(close));
}

async function sendFrame(socket: ServerWebSocket<Connection>, frame: string | Bytes): Promise<void> {
  if (typeof frame !== "string") socket.sendBinary(frame);
  else if (frame !== "") socket.sendText(frame);
  if (socket.getBufferedAmount() < MOST_WAITING || socket.data.gone.signal.aborted) return;
  socket.data.drained ??= Promise.withResolvers();
  await socket.data.drained.promise;
}

function wake(data: Connection): void {
  data.drained?.resolve();
  data.drained = undefined;
}
