import { DavitError } from "./errors.ts";

/** How many callers may wait for one room: what their clients have sent meanwhile lies in memory. */
const MOST_WAITING = 32;

/** Room for so many bytes, or other units. Callers that find too little wait, and are let in in the order in which they came. */
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

  /** Takes room until the result is disposed of; a caller that wants more than the room's size takes all of it. Throws `busy` where too many wait. */
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

/** A room for each key, which is kept while somebody is in it or waits. */
export class Rooms {
  readonly #size: number;
  readonly #rooms = new Map<string, Room>();

  constructor(size: number) {
    this.#size = size;
  }

  /** Runs `work` while it has `size` units of the room of `key`. */
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
