import { type FileHandle, open } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { crc32, createInflateRaw } from "node:zlib";
import type { ByteStream, Bytes } from "../bytes.ts";
import { streamOf } from "../bytes.ts";
import { bad, shown } from "../tar/header.ts";
import type { TarEntry } from "../tar/read.ts";

/*
 * Reads a zip file by its directory at the end, which alone tells modes and links:
 * https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3 and 4.4.
 */

const END = 0x06054b50;
const END_SIZE = 22;
const ENTRY = 0x02014b50;
const ENTRY_SIZE = 46;
const LOCAL = 0x04034b50;
const LOCAL_SIZE = 30;
/** The end's comment has this many bytes at most. */
const MAX_COMMENT = 65_535;
const MAX_ENTRIES = 65_534;
const MAX_DIRECTORY = 64 * 1024 * 1024;
const MAX_LINK = 4096;
const PIECE = 256 * 1024;
const ENCRYPTED = 1;
/** The upper byte of "version made by": who wrote the attributes. */
const UNIX = 3;

interface Place {
  offset: number;
  packed: number;
  size: number;
  crc: number;
  deflated: boolean;
}

/** The entries of a zip file, in the order of its directory, as a tar's would be. */
export async function* readZip(path: string): AsyncGenerator<TarEntry> {
  const file = await open(path, "r");
  try {
    const directory = await readDirectory(file);
    for (let at = 0, count = 0; at + ENTRY_SIZE <= directory.byteLength; count++) {
      if (directory.readUInt32LE(at) !== ENTRY) throw bad("its directory is damaged");
      if (count > MAX_ENTRIES) throw bad("it has too many entries");
      const lengths = [28, 30, 32].map((field) => directory.readUInt16LE(at + field));
      yield await entryOf(file, directory.subarray(at, at + ENTRY_SIZE + (lengths[0] ?? 0)));
      at += ENTRY_SIZE + lengths.reduce((sum, length) => sum + length, 0);
    }
  } finally {
    await file.close();
  }
}

async function readDirectory(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  const tail = await readAt(
    file,
    Math.max(0, size - END_SIZE - MAX_COMMENT),
    Math.min(size, END_SIZE + MAX_COMMENT),
  );
  for (let at = tail.byteLength - END_SIZE; at >= 0; at--) {
    if (tail.readUInt32LE(at) !== END) continue;
    const [length, offset] = [tail.readUInt32LE(at + 12), tail.readUInt32LE(at + 16)];
    if (offset === 0xffffffff) throw bad("it is a zip64, which is not read");
    if (length > MAX_DIRECTORY || offset + length > size) throw bad("its directory is damaged");
    return await readAt(file, offset, length);
  }
  throw bad("it is no zip, or a part of one");
}

async function entryOf(file: FileHandle, header: Buffer): Promise<TarEntry> {
  const name = header.toString("utf8", ENTRY_SIZE);
  const method = header.readUInt16LE(10);
  if (header.readUInt16LE(8) & ENCRYPTED) throw bad(`entry ${shown(name)} is encrypted`);
  if (method !== 0 && method !== 8) throw bad(`entry ${shown(name)} is compressed in a way that is not read`);
  const place: Place = {
    crc: header.readUInt32LE(16),
    packed: header.readUInt32LE(20),
    size: header.readUInt32LE(24),
    offset: header.readUInt32LE(42),
    deflated: method === 8,
  };
  const mode = header.readUInt16LE(4) >> 8 === UNIX ? header.readUInt32LE(38) >>> 16 : 0;
  const isLink = (mode & 0o170000) === 0o120000;
  const common = { name, mtime: timeOf(header), offset: place.offset };
  if (name.endsWith("/"))
    return {
      ...common,
      type: "directory",
      linkname: "",
      mode: mode & 0o777 || 0o755,
      size: 0,
      body: streamOf(),
    };
  const body = contentOf(file, place, name);
  if (!isLink)
    return { ...common, type: "file", linkname: "", mode: mode & 0o777 || 0o644, size: place.size, body };
  if (place.size > MAX_LINK) throw bad(`entry ${shown(name)} is a link that is too long`);
  const target: Buffer[] = [];
  for await (const chunk of body) target.push(Buffer.from(chunk));
  const linkname = Buffer.concat(target).toString("utf8");
  return { ...common, type: "symlink", linkname, mode: 0o777, size: 0, body: streamOf() };
}

/** DOS's date and time, which know no zone: seconds since 1970. */
function timeOf(header: Buffer): number {
  const [time, date] = [header.readUInt16LE(12), header.readUInt16LE(14)];
  const [year, month, day] = [1980 + (date >> 9), (date >> 5) & 15, date & 31];
  return Date.UTC(year, month - 1, day, time >> 11, (time >> 5) & 63, (time & 31) * 2) / 1000;
}

/** A file's bytes, as many and the same as its header promises. */
async function* contentOf(file: FileHandle, place: Place, name: string): AsyncGenerator<Bytes> {
  const local = await readAt(file, place.offset, LOCAL_SIZE);
  if (local.byteLength < LOCAL_SIZE || local.readUInt32LE(0) !== LOCAL)
    throw bad(`entry ${shown(name)} is damaged`);
  const start = place.offset + LOCAL_SIZE + local.readUInt16LE(26) + local.readUInt16LE(28);
  const packed = pieces(file, start, place.packed);
  let [size, crc] = [0, 0];
  try {
    for await (const chunk of place.deflated ? inflated(packed) : packed) {
      size += chunk.byteLength;
      crc = crc32(chunk, crc);
      if (size > place.size) break;
      yield chunk;
    }
  } catch (error) {
    throw bad(`entry ${shown(name)} is damaged`, error);
  }
  if (size !== place.size || crc !== place.crc) throw bad(`entry ${shown(name)} is damaged`);
}

async function* inflated(stream: ByteStream): AsyncGenerator<Bytes> {
  const inflate = createInflateRaw();
  pipeline(Readable.from(stream), inflate, () => undefined);
  for await (const chunk of inflate) yield new Uint8Array(chunk);
}

async function* pieces(file: FileHandle, start: number, length: number): AsyncGenerator<Bytes> {
  for (let at = 0; at < length; ) {
    const piece = await readAt(file, start + at, Math.min(PIECE, length - at));
    if (piece.byteLength === 0) return;
    at += piece.byteLength;
    yield new Uint8Array(piece);
  }
}

async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  return buffer.subarray(0, bytesRead);
}
