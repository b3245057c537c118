import { existsSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { type ByteStream, type Bytes, decode } from "./bytes.ts";
import { DavitError, systemError } from "./errors.ts";
import { openNamed, readNamed } from "./plain-file.ts";
import { replaceFile } from "./write-file.ts";

const UNITS: Record<string, number> = { "": 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };
const SMALLEST = 64 * 1024;
const MAX_VOLUMES = 999;
/** The largest list of volumes, in bytes. */
const MAX_SUMS = 1024 * 1024;
const PIECE = 512 * 1024;

/** Reads `4G`, `700M` or a number of bytes. */
export function parseSize(text: string, what: string): number {
  const [, digits = "", unit = ""] = /^(\d{1,12}(?:\.\d{1,3})?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  const size = Math.floor(Number(digits) * (UNITS[unit.toLowerCase()] ?? 0));
  if (digits !== "" && size > 0) return size;
  throw new DavitError(
    "usage",
    `Cannot use ${what} ${JSON.stringify(text)}: it is not a size like 700M or 4G`,
  );
}

/** Writes a stream as `PATH.001`, `PATH.002`, … of `size` bytes at most, and their checksums as `PATH.sha256`. */
export async function writeVolumes(path: string, stream: ByteStream, size: number): Promise<string[]> {
  if (size < SMALLEST)
    throw new DavitError("usage", `Cannot split into volumes of ${size} bytes: ${SMALLEST} is the least`);
  const writer = new VolumeWriter(path, size);
  try {
    for await (const chunk of stream) await writer.write(chunk);
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw systemError(`Cannot write ${path}`, error);
  }
}

class VolumeWriter {
  readonly #path: string;
  readonly #size: number;
  readonly #sums: { name: string; hash: string }[] = [];
  #file: Awaited<ReturnType<typeof open>> | undefined;
  #hasher = new Bun.CryptoHasher("sha256");
  #filled = 0;

  constructor(path: string, size: number) {
    this.#path = path;
    this.#size = size;
  }

  async write(chunk: Bytes): Promise<void> {
    for (let at = 0; at < chunk.byteLength; ) {
      if (this.#filled === this.#size) await this.#close();
      this.#file ??= await this.#next();
      const part = chunk.subarray(at, at + this.#size - this.#filled);
      this.#hasher.update(part);
      for (let done = 0; done < part.byteLength; ) done += (await this.#file.write(part, done)).bytesWritten;
      this.#filled += part.byteLength;
      at += part.byteLength;
    }
  }

  async #next() {
    const number = this.#sums.length + 1;
    if (number > MAX_VOLUMES)
      throw new DavitError("usage", `Cannot split into more than ${MAX_VOLUMES} volumes: make them larger`);
    return await open(`${volumeName(this.#path, number)}.part`, "w", 0o644);
  }

  async #close(): Promise<void> {
    if (!this.#file) return;
    await this.#file.sync();
    await this.#file.close();
    this.#file = undefined;
    this.#sums.push({
      name: volumeName(this.#path, this.#sums.length + 1),
      hash: this.#hasher.digest("hex"),
    });
    this.#hasher = new Bun.CryptoHasher("sha256");
    this.#filled = 0;
  }

  /** Volumes get their names only when all of them are whole. */
  async finish(): Promise<string[]> {
    await this.#close();
    for (const { name } of this.#sums) await rename(`${name}.part`, name);
    const lines = this.#sums.map(({ name, hash }) => `${hash}  ${basename(name)}\n`);
    await replaceFile(`${this.#path}.sha256`, lines.join(""));
    return this.#sums.map(({ name }) => name);
  }

  async abort(): Promise<void> {
    await this.#file?.close().catch(() => undefined);
    for (let number = 1; number <= this.#sums.length + 1; number++)
      await rm(`${volumeName(this.#path, number)}.part`, { force: true });
  }
}

function volumeName(path: string, number: number): string {
  return `${path}.${String(number).padStart(3, "0")}`;
}

/** Whether a path names the first of several volumes. */
export function isFirstVolume(path: string): boolean {
  return path.endsWith(".001") && existsSync(`${path.slice(0, -4)}.sha256`);
}

/** The volumes from `PATH.001` on as one stream, each checked against `PATH.sha256` at its end. */
export async function* readVolumes(first: string): AsyncGenerator<Bytes> {
  const path = first.slice(0, -4);
  for (const { name, hash } of await readSums(path)) yield* volume(`${dirname(path)}/${name}`, hash);
}

async function readSums(path: string): Promise<{ name: string; hash: string }[]> {
  const text = await readNamed(`${path}.sha256`, MAX_SUMS);
  return decode(text)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, hash, name] = /^([0-9a-f]{64}) [ *]([^/\\\0]+)$/.exec(line) ?? [];
      if (hash === undefined || name === undefined)
        throw new DavitError("bad-archive", `Cannot read ${path}.sha256: it is no list of checksums`);
      return { name, hash };
    });
}

async function* volume(path: string, hash: string): AsyncGenerator<Bytes> {
  const file = await openNamed(path);
  const hasher = new Bun.CryptoHasher("sha256");
  try {
    const buffer = new Uint8Array(PIECE);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, PIECE, null);
      if (bytesRead === 0) break;
      hasher.update(buffer.subarray(0, bytesRead));
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
  if (hasher.digest("hex") !== hash)
    throw new DavitError("mismatch", `Cannot read volume ${path}: its checksum is not the one in the list`, {
      hint: "copy this volume again",
    });
}
