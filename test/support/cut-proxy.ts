import { connect, createServer, type Socket } from "node:net";

/** A link that never holds: every connection is reset after so many bytes, in either direction. */
export class CutProxy {
  readonly #target: { host: string; port: number };
  readonly #limit: number;
  readonly #server = createServer((client) => this.#join(client));
  readonly #sockets = new Set<Socket>();
  /** Bytes that got through towards the server, and back. */
  up = 0;
  down = 0;
  /** Connections that were cut. */
  cuts = 0;

  /** `host` is `127.0.0.1:PORT`; `limit` in bytes. */
  constructor(host: string, limit: number) {
    const [name = "", port = ""] = host.split(":");
    this.#target = { host: name, port: Number(port) };
    this.#limit = limit;
  }

  async listen(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#server.listen(0, "127.0.0.1", resolve);
    await promise;
    return this;
  }

  get host(): string {
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === "object" && address ? address.port : 0}`;
  }

  #join(client: Socket): void {
    const server = connect(this.#target);
    let left = this.#limit;
    for (const socket of [client, server]) {
      this.#sockets.add(socket);
      socket.on("error", () => end());
      socket.on("close", () => end());
    }
    const end = () => {
      for (const socket of [client, server]) {
        socket.destroy();
        this.#sockets.delete(socket);
      }
    };
    const pass = (from: Socket, to: Socket, count: (bytes: number) => void) => {
      from.on("data", (chunk: Buffer) => {
        const part = chunk.subarray(0, left);
        left -= part.byteLength;
        count(part.byteLength);
        const more = to.write(part);
        if (left <= 0) {
          this.cuts++;
          // What was let through arrives; then both sides meet a reset.
          from.pause();
          to.end(() => setTimeout(() => reset(client, server), 20));
        } else if (!more) {
          from.pause();
          to.once("drain", () => from.resume());
        }
      });
      from.on("end", () => to.end());
    };
    pass(client, server, (bytes) => {
      this.up += bytes;
    });
    pass(server, client, (bytes) => {
      this.down += bytes;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

function reset(...sockets: Socket[]): void {
  for (const socket of sockets) {
    if (typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
    else socket.destroy();
  }
}
