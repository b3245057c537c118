import { concat, encode } from "../../src/bytes.ts";

/** An archive member as a hostile writer would make it: any field can be wrong. */
export interface RawEntry {
  name: string | Uint8Array;
  body?: Uint8Array;
  type?: string;
  link?: string;
  /** Written instead of the body's length. */
  size?: string | Uint8Array;
  /** Written instead of the right checksum. */
  checksum?: string;
}

const BLOCK = 512;

export function rawTar(entries: RawEntry[], end = true): Uint8Array<ArrayBuffer> {
  return concat([...entries.map(rawEntry), new Uint8Array(end ? 2 * BLOCK : 0)]);
}

export function rawEntry(entry: RawEntry): Uint8Array<ArrayBuffer> {
  const body = entry.body ?? new Uint8Array(0);
  const block = new Uint8Array(BLOCK);
  const put = (at: number, value: string | Uint8Array, length: number) =>
    block.set((typeof value === "string" ? encode(value) : value).subarray(0, length), at);
  put(0, entry.name, 100);
  put(100, "0000644\0", 8);
  put(108, "0000000\0", 8);
  put(116, "0000000\0", 8);
  put(124, entry.size ?? `${body.byteLength.toString(8).padStart(11, "0")}\0`, 12);
  put(136, "00000000000\0", 12);
  put(156, entry.type ?? "0", 1);
  put(157, entry.link ?? "", 100);
  put(257, "ustar\x0000", 8);
  put(148, "        ", 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  put(148, entry.checksum ?? `${sum.toString(8).padStart(6, "0")}\0 `, 8);
  return concat([block, body, new Uint8Array(-body.byteLength & (BLOCK - 1))]);
}

/** A PAX extended header for the entry after it. */
export function pax(records: Record<string, string>, type = "x"): RawEntry {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`;
    let length = encode(rest).byteLength + 1;
    while (String(length).length + encode(rest).byteLength !== length)
      length = String(length).length + encode(rest).byteLength;
    return `${length}${rest}`;
  });
  return { name: "PaxHeader/x", type, body: encode(lines.join("")) };
}
