import { bad, decodeName } from "./header.ts";

/** What an extended header says about the next entry. */
export interface Overrides {
  name?: string;
  linkname?: string;
  size?: number;
  mtime?: number;
  sparse?: boolean;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;

/** Reads the records of a PAX extended header (`"<length> <key>=<value>\n"`, POSIX.1-2001). */
export function parsePax(body: Uint8Array): Overrides {
  const overrides: Overrides = {};
  for (let at = 0; at < body.byteLength; ) {
    const space = body.indexOf(SPACE, at);
    const length = Number(space < 0 ? Number.NaN : decodeName(body.subarray(at, space)));
    const end = at + length;
    if (!Number.isInteger(length) || end > body.byteLength || end <= space || body[end - 1] !== NEWLINE)
      throw bad("an extended header holds a malformed record");
    apply(overrides, decodeName(body.subarray(space + 1, end - 1)));
    at = end;
  }
  return overrides;
}

function apply(overrides: Overrides, record: string): void {
  const equals = record.indexOf("=");
  if (equals <= 0) throw bad("an extended header holds a record without a key");
  const key = record.slice(0, equals);
  const value = record.slice(equals + 1);
  if (key === "path") overrides.name = clean(value);
  else if (key === "linkpath") overrides.linkname = clean(value);
  else if (key === "size") overrides.size = size(value);
  else if (key === "mtime" && Number(value) >= 0) overrides.mtime = Number(value);
  else if (key.startsWith("GNU.sparse.")) overrides.sparse = true;
}

function clean(value: string): string {
  if (value.includes("\0")) throw bad("an extended header holds a name with a NUL in it");
  return value;
}

function size(value: string): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw bad("an extended header holds a size that is not a number");
  return number;
}
