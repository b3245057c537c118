import { DavitError } from "../errors.ts";

/** The size of a tar block, in bytes. */
export const BLOCK = 512;

export type EntryType = "file" | "directory" | "symlink" | "hardlink" | "device" | "fifo" | "other";

/** The fields of one 512-byte header that a reader needs. */
export interface RawHeader {
  name: string;
  linkname: string;
  mode: number;
  size: number;
  /** Seconds since 1970; 0 where that cannot be read: nothing depends on it. */
  mtime: number;
  typeflag: string;
}

const TYPES: Record<string, EntryType> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "device",
  "4": "device",
  "5": "directory",
  "6": "fifo",
};

export function entryType(typeflag: string, name: string): EntryType {
  const type = TYPES[typeflag] ?? "other";
  return type === "file" && name.endsWith("/") ? "directory" : type;
}

export function bad(reason: string, cause?: unknown): DavitError {
  return new DavitError("bad-archive", `Cannot read the archive: ${reason}`, {
    cause,
    hint: "the archive is damaged or not made for this; make or copy it again",
  });
}

/** An archive that ends too early: the link broke, or its writer did. */
export function cut(reason: string): DavitError {
  return new DavitError("cut-archive", `Cannot read the archive: ${reason}`, {
    hint: "the archive is cut; send it again, and what has arrived already is not stored twice",
  });
}

/** Text that is safe to print: control characters, quotes and non-ASCII noise escaped, cut at 200. */
export function shown(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}…` : name).replace(
    /[\u007f-\u009f\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Reads one header block (POSIX ustar, GNU base-256 numbers); its checksum must be right. */
export function parseHeader(block: Uint8Array, offset: number): RawHeader {
  if (!checksumHolds(block)) throw bad(`the header at byte ${offset} has a wrong checksum`);
  const prefix = isUstar(block) ? text(block, 345, 155) : "";
  const name = text(block, 0, 100);
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkname: text(block, 157, 100),
    mode: number(block, 100, 8, offset),
    size: number(block, 124, 12, offset),
    mtime: octal(block, 136, 12) ?? 0,
    typeflag: String.fromCharCode(block[156] ?? 0),
  };
}

export function isZero(block: Uint8Array): boolean {
  return block.every((byte) => byte === 0);
}

function isUstar(block: Uint8Array): boolean {
  return text(block, 257, 6) === "ustar";
}

function checksumHolds(block: Uint8Array): boolean {
  let sum = 8 * 32;
  for (let i = 0; i < 148; i++) sum += block[i] ?? 0;
  for (let i = 156; i < BLOCK; i++) sum += block[i] ?? 0;
  return octal(block, 148, 8) === sum;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** Decodes a name; bytes that are not UTF-8 name nothing davit knows. */
export function decodeName(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw bad(`an entry's name is not UTF-8: ${shown(String.fromCharCode(...bytes.subarray(0, 200)))}`);
  }
}

function text(block: Uint8Array, start: number, length: number): string {
  if (block[start] === 0) return "";
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return decodeName(end < 0 ? field : field.subarray(0, end));
}

function number(block: Uint8Array, start: number, length: number, offset: number): number {
  if ((block[start] ?? 0) & 0x80) return base256(block.subarray(start, start + length), offset);
  const value = octal(block, start, length);
  if (value === undefined) throw bad(`the header at byte ${offset} holds a number that is not octal`);
  return value;
}

const SPACE = 0x20;
const ZERO = 0x30;

/** Octal digits between spaces or NULs; nothing at all is 0, anything else undefined. */
function octal(block: Uint8Array, start: number, length: number): number | undefined {
  const isBlank = (byte: number | undefined): boolean => byte === SPACE || byte === 0;
  let at = start;
  const end = start + length;
  while (at < end && isBlank(block[at])) at++;
  let value = 0;
  for (; at < end && !isBlank(block[at]); at++) {
    const digit = (block[at] ?? 0) - ZERO;
    if (digit < 0 || digit > 7) return undefined;
    value = value * 8 + digit;
  }
  return value;
}

function base256(field: Uint8Array, offset: number): number {
  if (field[0] === 0xff) throw bad(`the header at byte ${offset} holds a negative number`);
  const value = field.reduce((sum, byte, i) => sum * 256 + (i === 0 ? byte & 0x7f : byte), 0);
  if (!Number.isSafeInteger(value))
    throw bad(`the header at byte ${offset} holds a number that is too large`);
  return value;
}
