import { DavitError } from "../errors.ts";
import type { LeaderLedger } from "./leader-ledger.ts";
import type { Ledger } from "./ledger.ts";
import type { Upload } from "./place.ts";
import { OWN } from "./place-ledger.ts";
import type { Places } from "./places.ts";
import type { UploadRow } from "./registry-ledger.ts";

/** How long a request waits for the one before it, in milliseconds: that one's link has likely broken, and the server hears of it soon. */
const TURN = 10_000;
/** How long a turn lasts that is not renewed, how often it is, and between looks at another's, in milliseconds. */
const LEAD = 15_000;
const RENEW = 5_000;
const LOOK = 100;

/** An upload in the rack's own pool: its file, and the end of the request that is at it right now. */
interface OpenUpload {
  file: Upload;
  busy: Promise<void> | undefined;
}

/** Uploads under way. One request at a time is at each, in whichever process of the rack it arrives. */
export class Uploads {
  readonly #ledger: Ledger;
  readonly #places: Places;
  readonly #open = new Map<string, OpenUpload>();

  constructor(ledger: Ledger, places: Places) {
    this.#ledger = ledger;
    this.#places = places;
  }

  /** Runs `work` on an upload, alone. */
  async alone<T>(row: UploadRow, work: (upload: Upload) => Promise<T>): Promise<T> {
    return row.store === OWN ? await this.#inFile(row, work) : await this.#outside(row, work);
  }

  /** Ids of those whose files are open. */
  get open(): string[] {
    return [...this.#open.keys()];
  }

  /** The upload is over. */
  close(id: string): void {
    this.#open.delete(id);
  }

  async #inFile<T>(row: UploadRow, work: (upload: Upload) => Promise<T>): Promise<T> {
    const upload = await this.#file(row);
    const end = performance.now() + TURN;
    while (upload.busy !== undefined) {
      if (performance.now() >= end) throw busy(row.id);
      await Promise.race([upload.busy, Bun.sleep(end - performance.now())]);
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    upload.busy = promise;
    try {
      return await work(upload.file);
    } finally {
      upload.busy = undefined;
      resolve();
    }
  }

  async #file({ id, app }: UploadRow): Promise<OpenUpload> {
    const open = this.#open.get(id) ?? {
      file: await this.#places.own.upload(app, id),
      busy: undefined,
    };
    const known = this.#open.get(id) ?? open;
    this.#open.set(id, known);
    return known;
  }

  async #outside<T>({ id, app, store }: UploadRow, work: (upload: Upload) => Promise<T>): Promise<T> {
    await using _ = await takeTurn(this.#ledger.leaders, id);
    const place = await this.#places.named(store);
    return await work(await place.upload(app, id, this.#ledger.registry.notesOf(id)));
  }
}

/** The right to be at an upload, among all processes of the rack. */
async function takeTurn(leaders: LeaderLedger, id: string): Promise<AsyncDisposable> {
  const [name, holder] = [`upload ${id}`, crypto.randomUUID()];
  for (const end = performance.now() + TURN; ; ) {
    const fence = await leaders.take(name, holder, LEAD);
    if (fence) {
      const renewal = setInterval(() => void leaders.renew(fence, LEAD).catch(() => undefined), RENEW);
      return {
        [Symbol.asyncDispose]: async () => {
          clearInterval(renewal);
          await leaders.release(fence).catch(() => undefined);
        },
      };
    }
    if (performance.now() >= end) throw busy(id);
    await Bun.sleep(LOOK);
  }
}

function busy(id: string): DavitError {
  return new DavitError("busy", `Cannot go on with upload ${id}: another request is at it`);
}
