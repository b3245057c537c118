import type { Bytes } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { discard } from "../http/request.ts";
import type { StreamBody } from "../http/request-body.ts";
import { isPassing, type Retries } from "../http/retry.ts";
import { idleTimeout } from "../silence.ts";
import type { Descriptor } from "./descriptor.ts";
import type { Digest } from "./digest.ts";
import type { RegistryClient, RegistryRequest } from "./registry-client.ts";
import { registryError } from "./registry-error.ts";
import type { UploadNotes } from "./upload-journal.ts";

/** Chunk sizes that are tried after a body was refused, in bytes. GitHub's registry takes 4 MiB. */
const SMALLER = [64, 32, 16, 8, 4, 1, 0.25].map((mib) => mib * 1024 * 1024);
/** Requests that are tried where a broken one loses the upload, in bytes. */
const SAFER = [16, 8, 4, 2, 1].map((mib) => mib * 1024 * 1024);
/** How fast a registry must be able to put a blob in its place, in bytes a millisecond. */
const COMMIT_SPEED = 64 * 1024;

/** A part of a blob, to be sent as one body. */
export type Part = Bytes | (() => Promise<StreamBody>);
/** What lies between two offsets; undefined when that is gone. */
export type Parts = (from: number, to: number) => Part | undefined;

export interface UploadTarget {
  client: RegistryClient;
  repository: string;
  scope: string;
  /** For messages: "Cannot push …". */
  what: string;
  journal: UploadNotes;
}

/**
 * One blob on its way into a registry, through whatever the link does:
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pushing-blobs.
 * After any failure the registry is asked how much it has, and the upload goes on there.
 */
export class RegistryUpload {
  readonly #target: UploadTarget;
  readonly #retries: Retries;
  #location = "";
  #finishing = false;
  #resumed = false;
  /** Bytes that the registry says it has. */
  offset = 0;

  constructor(target: UploadTarget) {
    this.#target = target;
    this.#retries = target.client.retries();
  }

  get #client(): RegistryClient {
    return this.#target.client;
  }

  /**
   * Begins the upload, goes on with one that was left, or has the blob mounted:
   * then there is nothing to send. A mount is always asked for where the digest is
   * known: a registry that cannot begins an upload in its place, and nothing is lost.
   */
  async begin(digest?: Digest, mountFrom: readonly string[] = []): Promise<"mounted" | "open"> {
    if (await this.#resumeLeft()) return "open";
    const { profile } = this.#client;
    const anywhere = digest !== undefined && profile.seen.mount !== "named" ? [undefined] : [];
    for (const from of digest === undefined ? [] : [...mountFrom, ...anywhere]) {
      const source = from === undefined ? "" : `&from=${encodeURIComponent(from)}`;
      const more = from === undefined ? "" : ` repository:${from}:pull`;
      const response = await this.#post(`?mount=${digest}${source}`, more);
      if (response.status === 201) await profile.learn({ mount: "mounted" });
      if (response.status === 201) return "mounted";
      if (response.status === 202) return "open";
      if (from === undefined && response.status === 400) await profile.learn({ mount: "named" });
      await discard(response);
    }
    await this.#restart();
    return "open";
  }

  async #restart(): Promise<void> {
    const response = await this.#post("", "");
    if (response.status !== 202) throw await this.#error(response);
  }

  async #post(query: string, moreScope: string): Promise<Response> {
    const path = `/${this.#target.repository}/blobs/uploads/`;
    const response = await this.#request({
      method: "POST",
      path: path + query,
      scope: this.#target.scope + moreScope,
      headers: { "content-length": "0" },
    });
    if (response.status !== 202) return response;
    this.offset = 0;
    const min = Number(response.headers.get("oci-chunk-min-length"));
    if (min > 0) await this.#client.profile.learn({ chunkMin: min });
    await this.#moved(response, path);
    return response;
  }

  /** The newest Location is the one that counts: registries keep an upload's state in it. */
  async #moved(response: Response, asked: string): Promise<void> {
    this.#location = await this.#client.location(response, asked, this.#target.what);
    await discard(response);
    await this.#target.journal.keep(this.#location);
  }

  async #resumeLeft(): Promise<boolean> {
    const left = await this.#target.journal.left();
    if (left === undefined || !left.startsWith(`${this.#client.origin}/`)) return false;
    this.#location = left;
    if (!(await this.#status())) return false;
    this.#resumed = this.offset > 0;
    if (this.#resumed)
      this.#client.options.onNote?.(`going on with an upload to ${this.#client.host} at byte ${this.offset}`);
    return true;
  }

  /** Asks the registry how much it has; false when it knows nothing of the upload. */
  async #status(): Promise<boolean> {
    const response = await this.#request({ method: "GET", path: this.#location, scope: this.#target.scope });
    const known = [200, 202, 204].includes(response.status);
    if (known) this.offset = endOf(response) ?? 0;
    if (known && response.headers.has("location")) await this.#moved(response, this.#location);
    else await discard(response);
    return known;
  }

  /** Brings the registry to `end` bytes. `total` is the whole blob's size where it is known. */
  async send(end: number, parts: Parts, total?: number): Promise<"sent" | "refused"> {
    return await this.#persist(() => this.#sendOnce(end, parts, total));
  }

  /** Sends what is missing and puts the blob in its place. */
  async complete(blob: Descriptor, parts: Parts): Promise<"sent" | "refused"> {
    return await this.#persist(async () => {
      if (this.#finishing && (await this.#arrived(blob))) return "sent";
      if ((await this.#sendOnce(blob.size, parts, blob.size)) === "refused") return "refused";
      await this.#put(blob);
      return "sent";
    });
  }

  /** Begins anew and sends everything in the body of one PATCH, however long it is: it cannot be tried again. */
  async stream(body: StreamBody): Promise<void> {
    if (this.offset > 0) await this.#restart();
    const response = await this.#request({
      method: "PATCH",
      path: this.#location,
      scope: this.#target.scope,
      headers: { "content-type": "application/octet-stream" },
      body: async () => body,
      retry: false,
    });
    if (!isTaken(response.status)) throw await this.#error(response);
    this.offset = endOf(response) ?? body.length ?? 0;
    await this.#moved(response, this.#location);
  }

  /** The whole blob in the body of the one PUT. */
  async completeAtOnce(blob: Descriptor, part: Part): Promise<void> {
    await this.#persist(async () => {
      if (this.#finishing && (await this.#arrived(blob))) return;
      if (this.offset > 0) await this.#restart();
      await this.#put(blob, part);
    });
  }

  /** Tries again while failures pass, each time from where the registry says it is. */
  async #persist<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      const before = this.offset;
      try {
        return await work();
      } catch (error) {
        if (this.offset > before) this.#retries.progress();
        await this.#retries.after(error);
        await this.#goOn(before);
      }
    }
  }

  async #goOn(before: number): Promise<void> {
    if (!(await this.#status())) {
      await this.#learnLoss();
      return await this.#restart();
    }
    if (this.offset <= before) return;
    this.#retries.progress();
    await this.#client.profile.learn({ resumes: true });
  }

  /** Some registries (distribution before version 3) lose an upload with the request that breaks: then requests are kept short. */
  async #learnLoss(): Promise<void> {
    if (this.#finishing) return;
    const { chunkSafe = Number.POSITIVE_INFINITY } = this.#client.profile.seen;
    const next = SAFER.find((size) => size < chunkSafe);
    if (next !== undefined) await this.#client.profile.learn({ chunkSafe: next });
  }

  get #limit(): number {
    const { chunkMax, chunkSafe } = this.#client.profile.seen;
    return Math.min(chunkMax ?? Number.POSITIVE_INFINITY, chunkSafe ?? Number.POSITIVE_INFINITY);
  }

  /** The answer to the last PUT may have been lost, and the blob be there. */
  async #arrived(blob: Descriptor): Promise<boolean> {
    const path = `/${this.#target.repository}/blobs/${blob.digest}`;
    const response = await this.#request({ method: "HEAD", path, scope: this.#target.scope });
    if (response.status === 200) await this.#target.journal.forget();
    return response.status === 200;
  }

  async #sendOnce(end: number, parts: Parts, total: number | undefined): Promise<"sent" | "refused"> {
    while (this.offset < end) {
      const from = this.offset;
      const to = Math.min(end, from + this.#limit);
      const body = parts(from, to);
      if (body === undefined) throw this.#lost(from);
      const response = await this.#patch(from, to, body, from === 0 && to === total);
      if (isTaken(response.status)) this.offset = Math.min(endOf(response) ?? to, to);
      if (isTaken(response.status) && this.offset > from) await this.#moved(response, this.#location);
      else if ([404, 405, 415, 501].includes(response.status) && from === 0) return "refused";
      else await this.#cutSmaller(response, from, to);
    }
    return "sent";
  }

  async #patch(from: number, to: number, body: Part, whole: boolean): Promise<Response> {
    const response = await this.#request({
      method: "PATCH",
      path: this.#location,
      scope: this.#target.scope,
      headers: {
        "content-type": "application/octet-stream",
        ...(whole ? {} : { "content-range": `${from}-${to - 1}` }),
      },
      body,
      retry: false,
      alone: this.#client.profile.seen.chunkSafe !== undefined,
    });
    if (isPassing(response.status)) throw await this.#error(response);
    return response;
  }

  /** A body that was not taken is cut smaller, if the registry stands where it stood. */
  async #cutSmaller(response: Response, from: number, to: number): Promise<void> {
    const error = await this.#error(response);
    if (![202, 411, 413, 416].includes(response.status)) throw error;
    if (!(await this.#status())) await this.#restart();
    if (this.offset !== from) return;
    const smaller = SMALLER.find((size) => size < to - from);
    if (smaller === undefined || smaller < (this.#client.profile.seen.chunkMin ?? 0)) throw error;
    await this.#client.profile.learn({ chunkMax: smaller });
  }

  async #put(blob: Descriptor, body?: Part): Promise<void> {
    const { digest, size } = blob;
    const url = new URL(this.#location);
    url.searchParams.set("digest", digest);
    this.#finishing = true;
    const response = await this.#request({
      method: "PUT",
      path: url.href,
      scope: this.#target.scope,
      headers:
        body === undefined ? { "content-length": "0" } : { "content-type": "application/octet-stream" },
      ...(body === undefined ? {} : { body }),
      patience: idleTimeout() + size / COMMIT_SPEED,
      retry: false,
    });
    if (response.status !== 201 && response.status !== 204) return await this.#notPut(response);
    await this.#target.journal.forget();
    checkDigest(response, digest, this.#client.host, this.#target.what);
    await discard(response);
  }

  /** An upload that another process began may hold other bytes: then once more, from the beginning. */
  async #notPut(response: Response): Promise<void> {
    const error = await this.#error(response);
    const again = this.#resumed && response.status === 400;
    if (!again) throw error;
    this.#resumed = false;
    this.#finishing = false;
    await this.#restart();
    throw new DavitError("unavailable", error.message, { cause: error });
  }

  #lost(from: number): DavitError {
    return new DavitError(
      "registry",
      `${this.#target.what}: ${this.#client.host} has lost what it had taken after byte ${from}`,
      { hint: "run it again, from a file if the link breaks often: a pipe cannot be read twice" },
    );
  }

  /** Lets the registry forget what it has; one that does not answer is left to its own clock. `keep` leaves it for a later try. */
  async cancel(keep = false): Promise<void> {
    if (keep) return;
    await this.#target.journal.forget();
    if (this.#location === "") return;
    await this.#request({
      method: "DELETE",
      path: this.#location,
      scope: this.#target.scope,
      retry: false,
      signal: AbortSignal.timeout(1000),
    })
      .then(discard)
      .catch(() => undefined);
  }

  #error(response: Response): Promise<DavitError> {
    return registryError(this.#target.what, this.#client.host, response, this.#target.scope);
  }

  #request(wanted: Omit<RegistryRequest, "what">): Promise<Response> {
    return this.#client.send({ ...wanted, what: this.#target.what });
  }
}

/** 202 says the specification; Amazon's registry answers 201. */
function isTaken(status: number): boolean {
  return status === 201 || status === 202 || status === 204;
}

/** The offset after the last byte that a `Range: 0-N` names. `0-0` is how a registry says that it has nothing. */
export function endOf(response: Response): number | undefined {
  const [, end] = /^(?:bytes=)?0-(\d{1,15})$/.exec(response.headers.get("range")?.trim() ?? "") ?? [];
  if (end === undefined) return undefined;
  return end === "0" ? 0 : Number(end) + 1;
}

/** A registry that stores something else than it was sent must be found out now, not at the first pull. */
export function checkDigest(response: Response, digest: Digest, host: string, what: string): void {
  const claimed = response.headers.get("docker-content-digest");
  if (claimed !== null && claimed !== digest && claimed.split(":")[0] === digest.split(":")[0])
    throw new DavitError("mismatch", `${what}: ${host} says that it stored ${claimed}, sent was ${digest}`);
}
