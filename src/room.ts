import { DavitError } from "./errors.ts";

/** How many may wait at a time: what each has sent meanwhile lies in memory. */
const MOST_WAITING = 32;

/** Room for so many bytes, or other things. Whoever finds too little waits, and is let in by the order of coming. */
export class Room {
  readonly #size: number;
  #taken = 0;
  readonly #waiting: { wanted: number; enter(): void }[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  get isEmpty(): boolean {
    return this.#taken === 0 && this.#waiting.length === 0;
  }

  /** Takes room until the result is disposed of: for more than all there is, all. Throws `busy` where too many wait. */
  async take(size: number): Promise<Disposable> {
    if (this.#waiting.length >= MOST_WAITING)
      throw new DavitError("busy", "too many requests of this login wait for each other", {
        hint: "try again in a moment",
      });
    const wanted = Math.min(size, this.#size);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ wanted, enter: resolve });
    this.#letIn();
    await promise;
    return {
      [Symbol.dispose]: () => {
        this.#taken -= wanted;
        this.#letIn();
      },
    };
  }

  #letIn(): void {
    for (let [next] = this.#waiting; next; [next] = this.#waiting) {
      if (this.#taken + next.wanted > this.#size) return;
      this.#taken += next.wanted;
      this.#waiting.shift();
      next.enter();
    }
  }
}

/** A room for each of many, there while somebody is in it. */
export class Rooms {
  readonly #size: number;
  readonly #rooms = new Map<string, Room>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Runs `work` with room of `key`. */
  async with<T>(key: string, size: number, work: () => Promise<T>): Promise<T> {
    const room = this.#rooms.get(key) ?? new Room(this.#size);
    this.#rooms.set(key, room);
    try {
      using _ = await room.take(size);
      return await work();
    } finally {
      if (room.isEmpty) this.#rooms.delete(key);
    }
  }
}
