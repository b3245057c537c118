import { type Bytes, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { Mailbox } from "../mailbox.ts";
import { proxyFor } from "../proxy.ts";
import { interrupted } from "../silence.ts";
import { checkedUrl, type Trust } from "./request.ts";

export interface SocketOptions {
  headers?: Record<string, string>;
  /** The sub-protocol we would like to speak. */
  protocol?: string;
  signal?: AbortSignal | undefined;
  trust?: Trust | undefined;
}

/** A web socket that is open. */
export interface Socket {
  /** The sub-protocol the server has agreed to; empty for none. */
  protocol: string;
  /** Text and binary frames. It ends with the connection: how that ended is not known. */
  received: AsyncIterable<string | Bytes>;
  send(frame: string | Bytes): void;
  /** Bytes that were sent and are still here. */
  waiting(): number;
  close(): void;
}

export async function openSocket(url: string, options: SocketOptions = {}): Promise<Socket> {
  const { headers, protocol, signal, trust } = options;
  const address = checkedUrl(url, trust);
  const proxy = proxyFor(address, process.env);
  const tls = trust?.tls ? { tls: trust.tls } : {};
  const init = {
    headers,
    ...(protocol ? { protocols: [protocol] } : {}),
    ...(proxy === false ? {} : { proxy }),
    ...tls,
  };
  // Bun takes headers here; the DOM's types do not.
  const socket: WebSocket = Reflect.construct(WebSocket, [address.href.replace(/^http/, "ws"), init]);
  socket.binaryType = "arraybuffer";
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
  const received = new Mailbox<string | Bytes>();
  const abort = (): void => {
    received.end(interrupted(signal?.reason));
    reject(interrupted(signal?.reason));
    socket.close();
  };
  signal?.addEventListener("abort", abort);
  if (signal?.aborted) abort();
  socket.onopen = () => resolve();
  socket.onmessage = ({ data }: MessageEvent<unknown>) => received.put(frameOf(data));
  socket.onclose = ({ reason }) => {
    reject(new DavitError("unavailable", `Cannot reach ${address.host}: ${reason || "no socket there"}`));
    signal?.removeEventListener("abort", abort);
    received.end();
  };
  await opened;
  return {
    ...{ protocol: socket.protocol, received },
    send: (frame) => socket.send(frame),
    waiting: () => socket.bufferedAmount,
    close: () => socket.close(),
  };
}

function frameOf(data: unknown): string | Bytes {
  return data instanceof ArrayBuffer ? new Uint8Array(data) : String(data);
}

/**
 * What a server sends over a web socket, as a rack does: text until an empty binary
 * frame, or until the connection ends. A reader asks elsewhere whether there is more to come.
 */
export async function* socketText(socket: Socket): AsyncGenerator<Bytes> {
  try {
    for await (const frame of socket.received) {
      if (typeof frame !== "string") return;
      yield encode(frame);
    }
  } finally {
    socket.close();
  }
}
