import { type BuildEvent, BuildEvents } from "./build-events.ts";
import type { Output } from "./output.ts";
import type { ProgressDisplay, Step } from "./progress.ts";
import { jsonText, lines, logText, type Shown, shown, visible } from "./shown.ts";

/** Between redraws, in milliseconds. */
const REDRAW = 100;
/** Lines of a running step's output that are seen, and of a failed one's that stay. */
const TAIL = 6;
const FAILED = 30;

interface Running {
  name: string;
  began: number;
  tail: string[];
}

export interface BuildDisplay {
  /** The rack is asked for a build; `started` when it has begun. */
  start(): void;
  started(): void;
  log(text: string): void;
  progress(step: Step): void;
  end(): void;
}

/**
 * Shows a build's log: on a terminal a line for each step, with what runs now and how long
 * below them; for programs an object for each line, on stderr; else the text as it is.
 */
export function buildDisplay(out: Output, talk: Output, progress: ProgressDisplay): BuildDisplay {
  if (progress.style === "json") return new JsonDisplay(out, talk, progress);
  return progress.style === "bar" && out.isTerminal ? new LiveDisplay(out) : new PlainDisplay(out, progress);
}

class PlainDisplay implements BuildDisplay {
  readonly #out: Output;
  readonly #progress: ProgressDisplay;

  constructor(out: Output, progress: ProgressDisplay) {
    this.#out = out;
    this.#progress = progress;
  }

  start(): void {
    this.#out.print("Starting build... ");
  }

  started(): void {
    this.#progress.clear();
    this.#out.line("OK");
  }

  log(text: string): void {
    this.#progress.clear();
    this.#out.log(text);
  }

  progress(step: Step): void {
    this.#progress.show(step);
  }

  end(): void {}
}

class JsonDisplay extends PlainDisplay {
  readonly #talk: Output;
  readonly #events = new BuildEvents();

  constructor(out: Output, talk: Output, progress: ProgressDisplay) {
    super(out, progress);
    this.#talk = talk;
  }

  override log(text: string): void {
    for (const event of this.#events.read(text)) this.#talk.line(jsonText(event));
  }

  override end(): void {
    for (const event of this.#events.end()) this.#talk.line(jsonText(event));
  }
}

/** Steps that have ended scroll away; those that run are drawn below, again and again. */
class LiveDisplay implements BuildDisplay {
  readonly #out: Output;
  readonly #events = new BuildEvents();
  readonly #running = new Map<string, Running>();
  #status = "";
  /** Lines that are drawn now and will be drawn over. */
  #drawn = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(out: Output) {
    this.#out = out;
  }

  start(): void {
    this.progress({ what: "Starting build", done: 0 });
  }

  started(): void {
    this.#status = "";
    this.#draw([shown`Starting build... ${this.#out.paint.good("OK")}`]);
  }

  log(text: string): void {
    this.#status = "";
    const fixed = this.#events.read(text).flatMap((event) => this.#take(event));
    this.#draw(fixed);
  }

  progress({ what, done, total }: Step): void {
    const amount = done === 0 ? "" : `: ${megabytes(done)}${total ? ` of ${megabytes(total)}` : ""}`;
    this.#status = `${what}${amount}`;
    this.#tick();
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#running.clear();
    this.#status = "";
    this.#draw(this.#events.end().flatMap((event) => this.#take(event)));
  }

  /** Lines that stay. */
  #take(event: BuildEvent): (string | Shown)[] {
    if (event.event === "log") return [clean(event.text)];
    if (event.event === "begin") {
      this.#running.set(event.step, { name: event.name, began: performance.now(), tail: [] });
      return [];
    }
    const step = this.#running.get(event.step);
    if (!step) return [];
    if (event.event === "output") {
      step.tail.push(clean(event.text));
      if (step.tail.length > FAILED) step.tail.shift();
      return [];
    }
    this.#running.delete(event.step);
    return this.#ended(event, step);
  }

  #ended(event: BuildEvent & { event: "end" }, { name, tail }: Running): (string | Shown)[] {
    const { paint } = this.#out;
    if (event.status === "cached") return [paint.label(this.#line(`CACHED ${name}`, ""))];
    const line = this.#line(name, `${event.seconds.toFixed(1)}s`);
    if (event.status === "done") return [line];
    return [paint.bad(line), ...tail.map((text) => ` => => ${text}`), paint.bad(clean(event.error ?? ""))];
  }

  #line(name: string, time: string): string {
    const room = columns() - time.length - 1;
    const left = fitted(` => ${clean(name)}`, room);
    return time === "" ? left : `${left}${" ".repeat(Math.max(1, room - Bun.stringWidth(left)))}${time}`;
  }

  #tick(): void {
    this.#timer ??= setInterval(() => this.#draw([]), REDRAW);
    this.#timer.unref();
  }

  #draw(fixed: (string | Shown)[]): void {
    const live = this.#live();
    const up = this.#drawn > 0 ? shown`\x1b[${this.#drawn}A` : "";
    this.#drawn = live.length;
    this.#out.print(shown`${up}\r\x1b[J${lines([...fixed, ...live])}`);
    if (live.length > 0) this.#tick();
    else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }

  /** No more than fits: what scrolled away could not be drawn over. */
  #live(): (string | Shown)[] {
    const drawn: (string | Shown)[] = [];
    for (const { name, began, tail } of this.#running.values()) {
      drawn.push(this.#line(name, `${((performance.now() - began) / 1000).toFixed(1)}s`));
      for (const text of tail.slice(-TAIL))
        drawn.push(this.#out.paint.label(fitted(` => => ${text}`, columns())));
    }
    if (this.#status !== "") drawn.push(fitted(` => ${visible(this.#status)}`, columns()));
    return drawn.slice(-Math.max(1, (process.stdout.rows ?? process.stderr.rows ?? 24) - 2));
  }
}

function columns(): number {
  return process.stdout.columns ?? process.stderr.columns ?? 80;
}

function megabytes(count: number): string {
  return `${(count / 1e6).toFixed(1)} MB`;
}

/** A log may come from another machine: nothing in it moves the cursor. */
function clean(text: string): string {
  return visible(logText(text, false).replaceAll("\t", "    "));
}

function fitted(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  let [kept, taken] = ["", 0];
  for (const character of text) {
    taken += Bun.stringWidth(character);
    if (taken > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}
