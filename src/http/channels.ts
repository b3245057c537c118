import { type Bytes, concat, decode, encode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { Mailbox } from "../mailbox.ts";
import { checkJson, type Static, type TSchema, Type } from "../schema.ts";

/**
 * The sub-protocol of web sockets that carry the streams of a process: binary frames, the
 * first byte a channel, numbered as Kubernetes' `v5.channel.k8s.io` does, the rest its content.
 * Beyond that one's, either side says what it has taken, and sends only so much more: web
 * sockets cannot be told to wait.
 */
export const CHANNELS = "v1.channel.davit";

/** What stands before the exit code in the original's dialect, a text frame of its own. */
export const EXIT_MARK = "F1E49A85-0AD7-4AEF-A618-C249C6E6568D";

export const Channel = {
  stdin: 0,
  stdout: 1,
  stderr: 2,
  /** JSON: how it ended. The last frame. */
  status: 3,
  /** JSON: the size of the terminal. */
  resize: 4,
  /** JSON: bytes of content that were taken since last time. */
  taken: 5,
  /** The channel whose number follows has ended: stdin, the only one that can. */
  close: 255,
} as const;
export type Channel = (typeof Channel)[keyof typeof Channel];

/** How a command ended: by itself, or by what kept it from that. */
export const Status = Type.Object({
  exit: Type.Optional(Type.Integer()),
  error: Type.Optional(Type.String()),
  code: Type.Optional(Type.String()),
  hint: Type.Optional(Type.String()),
});
export type Status = Static<typeof Status>;

const Size = Type.Integer({ minimum: 1, maximum: 65_535 });
export const Resize = Type.Object({ columns: Size, rows: Size });
export type Resize = Static<typeof Resize>;

const Taken = Type.Object({ bytes: Type.Integer({ minimum: 0 }) });
type Taken = Static<typeof Taken>;

/** The most content of one frame, in bytes. */
const MOST = 32 * 1024;
/** So many bytes of content are sent before the other side has taken any. */
const ROOM = 1024 * 1024;

interface Frame {
  channel: number;
  content: Bytes;
}

/** One side of such a socket. */
export class Channels {
  readonly #send: (frame: Bytes) => void;
  readonly #signal: AbortSignal;
  #room = ROOM;
  #hasRoom: (() => void) | undefined;
  #untaken = 0;
  readonly #content = new Mailbox<Frame>();
  /** The sizes of the other side's terminal, as they change. */
  readonly resizes = new Mailbox<Resize>();

  /** The signal ends waiting for the other side. */
  constructor(send: (frame: Bytes) => void, signal: AbortSignal) {
    this.#send = send;
    this.#signal = signal;
    signal.addEventListener("abort", () => this.#hasRoom?.(), { once: true });
  }

  /** Sends content, as the other side has room for it. */
  async write(channel: Channel, content: Bytes): Promise<void> {
    for (let at = 0; at < content.byteLength; at += MOST) {
      const part = content.subarray(at, at + MOST);
      while (this.#room < part.byteLength) await this.#moreRoom();
      this.#room -= part.byteLength;
      this.#send(concat([Uint8Array.of(channel), part]));
    }
  }

  async #moreRoom(): Promise<void> {
    this.#signal.throwIfAborted();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#hasRoom = resolve;
    await promise;
  }

  tell(channel: Channel, value: Status | Resize | Taken): void {
    this.#send(concat([Uint8Array.of(channel), encode(JSON.stringify(value))]));
  }

  close(channel: Channel): void {
    this.#send(Uint8Array.of(Channel.close, channel));
  }

  /** Takes each frame the other side sends, as soon as it is here. */
  receive(frame: Bytes): void {
    const [channel = Channel.close] = frame;
    const content = frame.subarray(1);
    if (channel === Channel.taken) {
      this.#room += said(Taken, content).bytes;
      this.#hasRoom?.();
    } else if (channel === Channel.resize) this.resizes.put(said(Resize, content));
    else if (channel === Channel.close) this.#content.end();
    else {
      this.#untaken += content.byteLength;
      if (this.#untaken > 2 * ROOM) throw new DavitError("invalid", "the other side sends more than it may");
      this.#content.put({ channel, content });
    }
  }

  /** Nothing comes any more. */
  end(error?: DavitError): void {
    this.#content.end(error);
    this.resizes.end();
  }

  /** The content that comes; what was read makes room for more. */
  async *received(): AsyncGenerator<Frame> {
    for await (const frame of this.#content) {
      yield frame;
      this.#untaken -= frame.content.byteLength;
      this.tell(Channel.taken, { bytes: frame.content.byteLength });
    }
  }
}

/** What a frame of JSON says. */
export function said<T extends TSchema>(schema: T, content: Bytes): Static<T> {
  return checkJson(schema, decode(content), "a frame of the socket");
}
