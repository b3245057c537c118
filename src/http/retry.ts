import { DavitError, hasCode } from "../errors.ts";

/** Tries of one request, and how long the waits between them are, in milliseconds: 6 tries in at most 8 s. */
const TRIES = 6;
const FIRST_WAIT = 200;
/** Tries that may end in silence: each has cost a whole idle timeout. */
const SILENT_TRIES = 3;
/** Tries of a host where nobody listens, or that nobody knows. */
const ABSENT_TRIES = 4;
/** The longest `Retry-After` that is waited for, in milliseconds. */
const LONGEST_WAIT = 60_000;

/** Statuses that another try may change. */
const PASSING = [408, 425, 429, 500, 502, 503, 504];

export function isPassing(status: number): boolean {
  return PASSING.includes(status);
}

/** How long the tries of one request take, in milliseconds. */
const ALL_WAITS = 6000;

/** Failures in a row of one host, whichever requests they end: one that is down is not waited for by each in turn. */
export class Outage {
  #failures = 0;
  #since = 0;

  /** The host does its work. */
  answered(): void {
    this.#failures = 0;
  }

  /** Takes in a failure. True: the host has failed everybody for as long as one request would wait for it. */
  failed(): boolean {
    if (this.#failures++ === 0) this.#since = performance.now();
    return this.#failures >= TRIES && performance.now() - this.#since >= ALL_WAITS;
  }
}

/** Counts failures in a row; progress begins the count anew. */
export class Retries {
  readonly #signal: AbortSignal | undefined;
  readonly #outage: Outage | undefined;
  #failures = 0;
  #silent = 0;

  constructor(signal?: AbortSignal, outage?: Outage) {
    this.#signal = signal;
    this.#outage = outage;
  }

  progress(): void {
    this.#failures = 0;
    this.#silent = 0;
  }

  /** Waits before the next try after an error of code `unavailable`; throws any other, and one met too often. */
  async after(error: unknown): Promise<void> {
    if (!hasCode(error, "unavailable") || this.#signal?.aborted) throw error;
    if (/silent|nothing came/.test(error.message) && ++this.#silent >= SILENT_TRIES) throw error;
    if (++this.#failures >= (isAbsent(error) ? ABSENT_TRIES : TRIES)) throw error;
    if (this.#outage?.failed()) throw error;
    const asked = error.retryAfter ?? 0;
    if (asked > LONGEST_WAIT) throw tooLong(error, asked);
    await this.#wait(Math.max(asked, this.#backoff()));
  }

  #backoff(): number {
    return FIRST_WAIT * 2 ** (this.#failures - 1) * (0.75 + Math.random() / 4);
  }

  async #wait(milliseconds: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, milliseconds);
    const end = () => resolve();
    this.#signal?.addEventListener("abort", end);
    await promise;
    clearTimeout(timer);
    this.#signal?.removeEventListener("abort", end);
    if (this.#signal?.aborted) throw new DavitError("interrupted", "Interrupted");
  }
}

/** Whether there was no connection at all. */
function isAbsent({ cause }: DavitError): boolean {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  return /ConnectionRefused|ECONNREFUSED|ENOTFOUND|EAI_|FailedToOpenSocket|DNS/.test(code);
}

function tooLong(cause: DavitError, wait: number): DavitError {
  const seconds = Math.ceil(wait / 1000);
  return new DavitError("registry", `${cause.message} (it asks to wait ${seconds} s)`, {
    cause,
    hint: `try again in ${seconds} s; what has arrived is kept`,
  });
}

/** What a `Retry-After` asks for, in milliseconds: seconds or a date. */
export function retryAfter(response: Response): number | undefined {
  const text = response.headers.get("retry-after")?.trim();
  if (!text) return undefined;
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(wait) ? undefined : Math.max(0, wait);
}
