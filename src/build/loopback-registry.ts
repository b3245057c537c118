import { timingSafeEqual } from "node:crypto";
import type { Server } from "bun";

/**
 * A `/v2` on loopback, for one builder and the time of one build: behind a password of its own,
 * and able to find out whether that builder's loopback is ours.
 */
export class LoopbackRegistry implements AsyncDisposable {
  readonly #server: Server<undefined>;
  readonly #probe = crypto.randomUUID().replaceAll("-", "");
  #probing = false;
  #probed = false;
  readonly username = "davit";
  readonly password = crypto.randomUUID();

  /** `answer` gets what is asked with the password. */
  constructor(answer: (request: Request, url: URL) => Promise<Response>) {
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: (request) => this.#handle(request, answer),
      error: () => new Response(null, { status: 500 }),
    });
  }

  /** What image names begin with to be pushed here. */
  get address(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  /**
   * Whether `pull`, handed a repository nobody can guess, makes a request for it
   * arrive here. Before that no password is sent anywhere, so none is asked for.
   */
  async isReachedBy(pull: (name: string) => Promise<void>): Promise<boolean> {
    this.#probing = true;
    await pull(`${this.address}/${this.#probe}`).catch(() => undefined);
    this.#probing = false;
    return this.#probed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #handle(
    request: Request,
    answer: (request: Request, url: URL) => Promise<Response>,
  ): Promise<Response> {
    const url = new URL(request.url);
    const { pathname } = url;
    if (pathname.includes(this.#probe)) this.#probed = true;
    if (this.#probing) return new Response(null, { status: pathname === "/v2/" ? 200 : 404 });
    if (!this.#isAllowed(request))
      return new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="davit"' } });
    if (pathname === "/v2/")
      return new Response(null, { headers: { "docker-distribution-api-version": "registry/2.0" } });
    return await answer(request, url);
  }

  #isAllowed(request: Request): boolean {
    const login = Buffer.from(`${this.username}:${this.password}`).toString("base64");
    const expected = Buffer.from(`Basic ${login}`);
    const given = Buffer.from(request.headers.get("authorization") ?? "");
    return given.byteLength === expected.byteLength && timingSafeEqual(given, expected);
  }
}
