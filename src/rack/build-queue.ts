import { DavitError } from "../errors.ts";

/** One build that waits for its turn, or has it. */
interface Job {
  app: string;
  id: string;
  run(signal: AbortSignal): Promise<void>;
  cancel: AbortController;
}

export interface QueueLimits {
  /** Builds at once. */
  running: number;
  /** How many builds of one app may wait: no app takes the places of others. */
  waiting: number;
}

/** Lets a few builds run at once. Whoever's app has the fewest running goes next; among equals, whoever came first. */
export class BuildQueue {
  readonly #limits: QueueLimits;
  readonly #waiting: Job[] = [];
  readonly #running = new Map<Job, Promise<void>>();
  /** Places that are kept, by app. */
  readonly #reserved = new Map<string, number>();
  #closed = false;

  constructor(limits: QueueLimits) {
    this.#limits = limits;
  }

  /** Keeps a place for a build that is about to be added; throws where too many of its app wait already. */
  reserve(app: string): Disposable {
    if (this.#closed)
      throw new DavitError("unavailable", "the rack is stopping: it takes no more builds", {
        hint: "try again in a moment",
      });
    const waiting = this.#waiting.filter((job) => job.app === app).length;
    if (waiting + this.#reservedFor(app) >= this.#limits.waiting)
      throw new DavitError("unavailable", `${waiting} builds of app ${app} are waiting already`, {
        hint: "try again when some are done",
      });
    this.#reserve(app, 1);
    return { [Symbol.dispose]: () => this.#reserve(app, -1) };
  }

  #reservedFor(app: string): number {
    return this.#reserved.get(app) ?? 0;
  }

  #reserve(app: string, more: 1 | -1): void {
    const left = this.#reservedFor(app) + more;
    if (left > 0) this.#reserved.set(app, left);
    else this.#reserved.delete(app);
  }

  add(app: string, id: string, run: Job["run"]): void {
    this.#waiting.push({ app, id, run, cancel: new AbortController() });
    this.#next();
  }

  /** Ids of those that still wait. */
  get waiting(): string[] {
    return this.#waiting.map(({ id }) => id);
  }

  get running(): number {
    return this.#running.size;
  }

  #next(): void {
    while (this.#running.size < this.#limits.running && this.#waiting.length > 0) {
      const job = this.#fairest();
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      const done = job.run(job.cancel.signal).finally(() => {
        this.#running.delete(job);
        this.#next();
      });
      this.#running.set(
        job,
        done.catch(() => undefined),
      );
    }
  }

  #fairest(): Job {
    const busy = (app: string): number => [...this.#running.keys()].filter((job) => job.app === app).length;
    return this.#waiting.reduce((best, job) => (busy(job.app) < busy(best.app) ? job : best));
  }

  /** Takes no more; those that run are ended, and have marked themselves when this resolves. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#waiting.length = 0;
    for (const job of this.#running.keys()) job.cancel.abort();
    await Promise.all(this.#running.values());
  }
}
