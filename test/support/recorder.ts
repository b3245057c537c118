import type { Server } from "bun";

/** One request, as far as two clients must agree on it. */
export interface Recorded {
  line: string;
  /** A form's fields, or what kind of body it was. */
  body: Record<string, string> | "bytes" | "nothing";
}

interface Bridge {
  address: string;
  authorization: string;
  to?: WebSocket;
}

/**
 * Stands before a rack, writes down what comes, and makes it look like a Convox rack:
 * what tells a davit from one is taken out of its answers.
 */
export class Recorder implements AsyncDisposable {
  readonly #server: Server<Bridge>;
  readonly requests: Recorded[] = [];
  /** In place of an answer of the rack's own. */
  answer: (line: string, text: string) => string = (_, text) => text;

  constructor(target: string) {
    this.#server = Bun.serve<Bridge>({
      port: 0,
      hostname: "127.0.0.1",
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: async (request, server) => await this.#pass(request, server, target),
      websocket: {
        open(socket) {
          const { address, authorization } = socket.data;
          const to: WebSocket = Reflect.construct(WebSocket, [address, { headers: { authorization } }]);
          to.binaryType = "arraybuffer";
          to.onmessage = ({ data }) =>
            void (typeof data === "string" ? socket.sendText(data) : socket.sendBinary(new Uint8Array(data)));
          socket.data.to = to;
        },
        message: () => undefined,
        close: ({ data }) => data.to?.close(),
      },
    });
  }

  get host(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  async #pass(request: Request, server: Server<Bridge>, target: string): Promise<Response | undefined> {
    const { pathname, search } = new URL(request.url);
    const authorization = request.headers.get("authorization") ?? "";
    const type = request.headers.get("content-type") ?? "";
    const bytes = new Uint8Array(await request.arrayBuffer());
    const isForm = type.startsWith("application/x-www-form-urlencoded");
    const form = isForm && Object.fromEntries(new URLSearchParams(new TextDecoder().decode(bytes)));
    const method = request.headers.has("upgrade") ? "SOCKET" : request.method;
    const line = `${method} ${pathname}${search === "?" ? "" : search}`;
    this.requests.push({ line, body: form || (bytes.byteLength > 0 ? "bytes" : "nothing") });
    if (method === "SOCKET") {
      const address = `${target.replace("http", "ws")}${pathname}`;
      return server.upgrade(request, { data: { address, authorization } })
        ? undefined
        : new Response(null, { status: 400 });
    }
    const answer = await fetch(`${target}${pathname}${search}`, {
      method: request.method,
      headers: { authorization, ...(type ? { "content-type": type } : {}) },
      ...(request.method === "GET" || request.method === "HEAD" ? {} : { body: bytes }),
    });
    const headers = new Headers(answer.headers);
    const body = await answer.arrayBuffer();
    if (!(headers.get("content-type") ?? "").startsWith("application/json"))
      return new Response(body, { status: answer.status, headers });
    const text = new TextDecoder().decode(body);
    const shown = pathname === "/system" ? text.replace(/"davit": "\d+"/, "") : this.answer(line, text);
    return new Response(shown, { status: answer.status, headers: { "content-type": "application/json" } });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}
