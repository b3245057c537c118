import { Duplex } from "node:stream";

const HEADER = 9;
const PREFACE = 24;
const HEADERS = 1;
const RST_STREAM = 3;
const SETTINGS = 4;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const ACK = 1;
const END_HEADERS = 4;
const INITIAL_WINDOW_SIZE = 4;
const DEFAULT_WINDOW = 65_535;

/**
 * Stands between a socket and Bun's HTTP/2, for one bug of Bun 1.4.5: a later
 * SETTINGS_INITIAL_WINDOW_SIZE is not added to the send windows of open streams
 * (RFC 9113, 6.9.2), while grpc-go raises it all the time, so large messages stop
 * for ever. Later values are put back to the first one here, and what they would
 * have added is given to each stream as a WINDOW_UPDATE. Remove this when the test
 * that sends 1 MiB messages passes without it.
 */
export class WindowFix extends Duplex {
  readonly #socket: Duplex;
  readonly #streams = new Set<number>();
  #pending: Buffer;
  #preface: number;
  #first: number | undefined;
  #current = DEFAULT_WINDOW;

  /** `preface`: whether the other side opens with the client's 24 bytes. */
  constructor(socket: Duplex, head: Buffer, preface: boolean) {
    super();
    this.#socket = socket;
    this.#pending = head;
    this.#preface = preface ? PREFACE : 0;
    socket.on("data", (chunk: Buffer) => this.#take(chunk));
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
    queueMicrotask(() => this.#take(Buffer.alloc(0)));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#socket.write(chunk, done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #take(chunk: Buffer): void {
    this.#pending = this.#pending.byteLength === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const out: Buffer[] = [];
    if (this.#preface > 0 && this.#pending.byteLength >= this.#preface) {
      out.push(this.#cut(this.#preface));
      this.#preface = 0;
    }
    while (this.#preface === 0 && this.#pending.byteLength >= HEADER) {
      const length = HEADER + this.#pending.readUIntBE(0, 3);
      if (this.#pending.byteLength < length) break;
      out.push(...this.#frame(this.#cut(length)));
    }
    if (out.length > 0 && !this.push(Buffer.concat(out))) this.#socket.pause();
  }

  #cut(length: number): Buffer {
    const part = this.#pending.subarray(0, length);
    this.#pending = this.#pending.subarray(length);
    return part;
  }

  #frame(frame: Buffer): Buffer[] {
    const type = frame[3];
    const flags = frame[4] ?? 0;
    const stream = frame.readUInt32BE(5) & 0x7fffffff;
    if (type === SETTINGS && (flags & ACK) === 0) return this.#settings(frame);
    if (type === RST_STREAM) this.#streams.delete(stream);
    if (
      (type === HEADERS || type === CONTINUATION) &&
      (flags & END_HEADERS) !== 0 &&
      !this.#streams.has(stream)
    ) {
      this.#streams.add(stream);
      const owed = this.#current - (this.#first ?? DEFAULT_WINDOW);
      if (owed > 0) return [frame, windowUpdate(stream, owed)];
    }
    return [frame];
  }

  /** The first value stands; a later one becomes an update for each stream. Lower values never come from grpc-go. */
  #settings(frame: Buffer): Buffer[] {
    let raise = 0;
    const copy = Buffer.from(frame);
    for (let at = HEADER; at + 6 <= copy.byteLength; at += 6) {
      if (copy.readUInt16BE(at) !== INITIAL_WINDOW_SIZE) continue;
      const value = copy.readUInt32BE(at + 2);
      if (this.#first !== undefined) raise = value - this.#current;
      copy.writeUInt32BE(this.#first ?? value, at + 2);
      this.#first ??= value;
      this.#current = value;
    }
    this.#first ??= DEFAULT_WINDOW;
    return raise > 0 ? [copy, ...[...this.#streams].map((stream) => windowUpdate(stream, raise))] : [copy];
  }
}

function windowUpdate(stream: number, increment: number): Buffer {
  const frame = Buffer.alloc(HEADER + 4);
  frame.writeUIntBE(4, 0, 3);
  frame[3] = WINDOW_UPDATE;
  frame.writeUInt32BE(stream, 5);
  frame.writeUInt32BE(increment, HEADER);
  return frame;
}
