import { type Bytes, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import type { Trust } from "./request.ts";
import { interrupted } from "./silence.ts";

export interface SocketOptions {
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
  trust?: Trust | undefined;
}

/**
 * What a server sends over a web socket, as a rack does: text until an empty binary
 * frame, or until the connection ends. How it ended is not known: a reader asks
 * elsewhere whether there is more to come.
 */
export async function* socketText(url: string, options: SocketOptions = {}): AsyncGenerator<Bytes> {
  const waiting: (Bytes | DavitError | undefined)[] = [];
  let wake: (() => void) | undefined;
  const put = (item: Bytes | DavitError | undefined): void => {
    waiting.push(item);
    wake?.();
  };
  const init = { headers: options.headers, ...(options.trust?.tls ? { tls: options.trust.tls } : {}) };
  // Bun takes headers here; the DOM's types do not.
  const socket: WebSocket = Reflect.construct(WebSocket, [url.replace(/^http/, "ws"), init]);
  socket.binaryType = "arraybuffer";
  let opened = false;
  socket.onopen = () => {
    opened = true;
  };
  socket.onmessage = ({ data }: MessageEvent<unknown>) =>
    put(typeof data === "string" ? encode(data) : undefined);
  socket.onclose = ({ reason }) => put(opened ? undefined : unreachable(url, reason));
  const abort = (): void => put(interrupted(options.signal?.reason));
  options.signal?.addEventListener("abort", abort);
  try {
    for (;;) {
      if (waiting.length === 0) {
        const { promise, resolve } = Promise.withResolvers<void>();
        wake = resolve;
        await promise;
      }
      const item = waiting.shift();
      if (item === undefined) return;
      if (item instanceof DavitError) throw item;
      yield item;
    }
  } finally {
    options.signal?.removeEventListener("abort", abort);
    socket.close();
  }
}

function unreachable(url: string, reason: string): DavitError {
  return new DavitError("unavailable", `Cannot reach ${new URL(url).host}: ${reason || "no socket there"}`);
}
