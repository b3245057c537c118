import { MAX_LOG_LINE } from "../lines.ts";
import { Redactor } from "./redact.ts";

/** How long text may wait to be written together with what follows, in milliseconds. */
const DELAY = 100;
/**
 * How much of a line is shown, in characters. Builders' lines end at `MAX_LOG_LINE`, in the middle of a
 * secret perhaps: what is shown ends so much earlier that the secret is seen whole, and masked.
 */
const LONGEST_SHOWN = MAX_LOG_LINE - 64 * 1024;

/**
 * A build's log: whole lines, redacted before anyone sees them. What is shown is
 * what is stored, byte for byte, so a reader can go on from any length.
 */
export class BuildLog {
  readonly redactor = new Redactor();
  readonly #store: (text: string) => Promise<void>;
  readonly #show: (text: string) => void;
  #waiting = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: (text: string) => Promise<void>, show: (text: string) => void) {
    this.#store = store;
    this.#show = show;
  }

  /** One line, without its line end; ANSI colours and other control codes are dropped. Of a long line the beginning is kept, with a note. */
  line(text: string): void {
    const plain = withoutControls(text);
    const rest = plain.length > LONGEST_SHOWN ? " [the line goes on]" : "";
    const clean = `${this.redactor.redact(plain, LONGEST_SHOWN)}${rest}\n`;
    this.#waiting += clean;
    this.#show(clean);
    this.#timer ??= setTimeout(() => void this.flush().catch(() => undefined), DELAY);
  }

  /** Text of several lines; a last one without a line end gets one. */
  lines(text: string): void {
    for (const line of text.replace(/\n$/, "").split("\n")) this.line(line);
  }

  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const text = this.#waiting;
    this.#waiting = "";
    if (text !== "") this.#writing = this.#writing.then(() => this.#store(text));
    await this.#writing;
  }
}

function withoutControls(text: string): string {
  return text
    .replace(/\x1b\[[0-9;?]*[ -/]*[@-~]/g, "")
    .replace(/\x1b\][^\x07\x1b]*(\x07|\x1b\\)/g, "")
    .replace(/[\x00-\x08\x0b-\x1f\x7f]/g, "");
}
