import type { Bytes } from "../bytes.ts";
import { DavitError, hasCode, reasonOf } from "../errors.ts";
import { dialBuildkit } from "./buildkit-host.ts";
import {
  decodeSolve,
  decodeVersion,
  encodeSolve,
  encodeText,
  type SolveRequest,
} from "./buildkit-messages.ts";
import { Tunnel } from "./bytes-message.ts";
import { Grpc } from "./grpc.ts";
import type { Env } from "./host.ts";
import { EngineSession, printable, type SessionMethods, type SessionName } from "./session.ts";

const CONTROL = "/moby.buildkit.v1.Control";

/** A connection to a buildkitd. */
export class Buildkitd implements AsyncDisposable {
  readonly address: string;
  readonly #grpc: Grpc;

  private constructor(address: string, grpc: Grpc) {
    this.address = address;
    this.#grpc = grpc;
  }

  static async connect(address: string, env: Env): Promise<Buildkitd> {
    return new Buildkitd(address, await Grpc.over(await dialBuildkit(address, env)));
  }

  async version(): Promise<string> {
    return decodeVersion(await this.#grpc.call(`${CONTROL}/Info`, new Uint8Array(0)));
  }

  /** A session runs inside a call: HTTP/2 in HTTP/2. */
  async session({ name, key }: SessionName, methods: SessionMethods): Promise<EngineSession> {
    return await EngineSession.over(methods, async (id, served) => {
      const stream = this.#grpc.open(`${CONTROL}/Session`, {
        "x-docker-expose-session-uuid": id,
        "x-docker-expose-session-name": printable(name),
        "x-docker-expose-session-sharedkey": key,
        "x-docker-expose-session-grpc-method": served,
      });
      return { socket: new Tunnel(stream), head: Buffer.alloc(0) };
    });
  }

  /** Runs a build, and returns what its exporter says. A step that fails is told in the engine's words. */
  async solve(request: SolveRequest, signal: AbortSignal): Promise<Record<string, string>> {
    try {
      return decodeSolve(await this.#grpc.call(`${CONTROL}/Solve`, encodeSolve(request), {}, signal));
    } catch (error) {
      if (signal.aborted) throw new DavitError("interrupted", "Interrupted", { cause: error });
      const cause = hasCode(error, "engine") ? error.cause : error;
      throw new DavitError("build-failed", reasonOf(cause).replace(/^failed to solve: /, ""), {
        cause: error,
      });
    }
  }

  /** How a build goes on: messages of the type `StatusResponse`, until it has ended. */
  status(ref: string, signal: AbortSignal): AsyncGenerator<Bytes> {
    const stream = this.#grpc.open(`${CONTROL}/Status`, {}, signal);
    return statusOf(stream, ref);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#grpc[Symbol.asyncDispose]();
  }
}

async function* statusOf(stream: ReturnType<Grpc["open"]>, ref: string): AsyncGenerator<Bytes> {
  await stream.send(encodeText(ref));
  stream.end();
  yield* stream.messages;
}
