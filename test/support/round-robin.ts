import { connect, createServer, type Socket } from "node:net";

/** One address for several servers: each connection goes to the next of them that takes it. */
export class RoundRobin implements AsyncDisposable {
  readonly #targets: string[];
  readonly #server = createServer((client) => this.#join(client, this.#targets.length));
  readonly #sockets = new Set<Socket>();
  #next = 0;

  /** Each as `127.0.0.1:PORT`. */
  constructor(targets: string[]) {
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
    const [name = "", port = ""] = (this.#targets[this.#next++ % this.#targets.length] ?? "").split(":");
    const server = connect({ host: name, port: Number(port) });
    this.#sockets.add(client).add(server);
    const end = (): void => {
      for (const socket of [client, server]) {
        socket.destroy();
        this.#sockets.delete(socket);
      }
    };
    server.once("connect", () => {
      server.removeAllListeners("error").on("error", end).on("close", end);
      client.pipe(server).pipe(client);
    });
    server.once("error", () => (tries > 1 ? this.#join(client, tries - 1) : end()));
    client.on("error", end).on("close", end);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
}
