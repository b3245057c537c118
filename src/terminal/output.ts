import { fstatSync, write as writeFd } from "node:fs";
import { encode } from "../bytes.ts";
import { systemCode } from "../errors.ts";
import { blockingTwin, knownTwin, widen } from "../pipes.ts";
import { type Paint, PLAIN } from "./color.ts";
import { logText, Shown, shown, visible } from "./shown.ts";

/** What is larger is no text, in bytes. */
const SMALL = 32 * 1024;

/** One of the process's two outputs: text and bytes, in order, whole. A reader that goes away ends the process quietly. */
export class Output {
  readonly isTerminal: boolean;
  readonly paint: Paint;
  readonly #fd: 1 | 2;
  #last: Promise<void> = Promise.resolve();

  constructor(fd: 1 | 2, isTerminal: boolean, paint: Paint = PLAIN) {
    this.#fd = fd;
    this.isTerminal = isTerminal;
    this.paint = paint;
  }

  /** Queues lines; `flush` waits until they are out. Control characters in them are made visible. */
  print(text: string | Shown): void {
    this.#queue(text instanceof Shown ? text.text : visible(text, "\n"));
  }

  /** Queues one line: line ends in the text are made visible too. */
  line(text: string | Shown = ""): void {
    this.print(shown`${text}\n`);
  }

  /** A user's own data: exactly that for programs, and for people with its control characters made visible. */
  data(text: string): void {
    this.#queue(this.isTerminal ? visible(text, "\n\t") : text);
  }

  /** A build's log, or a part of it: a terminal gets its colours, and nothing else that is no text. */
  log(text: string): void {
    this.#queue(logText(text, this.isTerminal));
  }

  #queue(text: string): void {
    void this.write(encode(text)).catch(() => undefined);
  }

  /** Bytes as they are: archives, and what a user's own programs write. Resolves when the bytes are out, which is when their reader has room for them. */
  write(bytes: Uint8Array): Promise<void> {
    this.#last = this.#last.then(() => writeAll(this.#fd, bytes));
    return this.#last;
  }

  flush(): Promise<void> {
    return this.#last;
  }

  /** Whether bytes would land on a screen or nowhere a person put them. */
  isPipeOrFile(): boolean {
    return !this.isTerminal && !fstatSync(this.#fd).isCharacterDevice();
  }
}

async function writeAll(output: number, bytes: Uint8Array): Promise<void> {
  if (bytes.byteLength > SMALL) await widen(output);
  let fd = knownTwin(output);
  for (let done = 0; done < bytes.byteLength; ) {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    writeFd(fd, bytes, done, bytes.byteLength - done, null, (error, written) =>
      error ? reject(error) : resolve(written),
    );
    try {
      done += await promise;
    } catch (error) {
      if (systemCode(error) !== "EAGAIN") throw error;
      const twin = blockingTwin(output);
      if (twin === undefined) await Bun.sleep(1);
      fd = twin ?? fd;
    }
  }
}
