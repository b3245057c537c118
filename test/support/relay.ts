import { connect, createServer, type Socket } from "node:net";

/** One address in front of one server or several: each connection goes to the next that takes it. */
export class Relay implements AsyncDisposable {
  readonly #targets: string[];
  readonly #server = createServer((client) => this.#join(client, this.#targets.length));
  readonly #sockets = new Set<Socket>();
  #next = 0;

  /** Each as `127.0.0.1:PORT`. */
  constructor(...targets: string[]) {
    this.#targets = targets;
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

  #join(client: Socket, tries: number): void {
    const [host = "", port = ""] = (this.#targets[this.#next++ % this.#targets.length] ?? "").split(":");
    const server = connect({ host, port: Number(port) });
    this.#sockets.add(client).add(server);
    const end = (): void => {
      for (const socket of [client, server]) {
        socket.destroy();
        this.#sockets.delete(socket);
      }
    };
    server.once("connect", () => {
      server.removeAllListeners("error").on("error", end).on("close", end);
      this.carry(client, server);
    });
    server.once("error", () => (tries > 1 ? this.#join(client, tries - 1) : end()));
    client.on("error", end).on("close", end);
  }

  /** What passes between the two ends, and how. */
  protected carry(client: Socket, server: Socket): void {
    client.pipe(server).pipe(client);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}

/** A link that never holds: every connection is reset after so many bytes, in either direction. */
export class CutProxy extends Relay {
  readonly #limit: number;
  /** Bytes that got through towards the server, and back. */
  up = 0;
  down = 0;
  /** Connections that were cut. */
  cuts = 0;

  /** `limit` in bytes. */
  constructor(target: string, limit: number) {
    super(target);
    this.#limit = limit;
  }

  protected override carry(client: Socket, server: Socket): void {
    let left = this.#limit;
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
}

function reset(...sockets: Socket[]): void {
  for (const socket of sockets) {
    if (typeof socket.resetAndDestroy === "function") socket.resetAndDestroy();
    else socket.destroy();
  }
}

/** A slow link: all connections together get so many bytes a second, in each direction. */
export class SlowLink extends Relay {
  readonly #rate: number;
  readonly #free = { up: 0, down: 0 };
  /** Bytes that went towards the server. */
  up = 0;

  /** `rate` in bytes a second. */
  constructor(target: string, rate: number) {
    super(target);
    this.#rate = rate;
  }

  protected override carry(client: Socket, server: Socket): void {
    const pass = (from: Socket, to: Socket, way: "up" | "down") => {
      from.on("data", (chunk: Buffer) => {
        if (way === "up") this.up += chunk.byteLength;
        // A chunk arrives when the link has carried all that was sent before it, and itself.
        const start = Math.max(performance.now(), this.#free[way]);
        this.#free[way] = start + (chunk.byteLength / this.#rate) * 1000;
        from.pause();
        setTimeout(
          () => {
            to.write(chunk);
            from.resume();
          },
          Math.max(0, this.#free[way] - performance.now()),
        );
      });
      from.on("end", () => setTimeout(() => to.end(), Math.max(0, this.#free[way] - performance.now())));
    };
    pass(client, server, "up");
    pass(server, client, "down");
  }
}
