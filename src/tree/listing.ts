import { DavitError } from "../errors.ts";
import { check, type Static, Type } from "../schema.ts";

/*
 * A source as a tree of directories, each named by what is in it: the SHA-256 of its
 * listing, which names files by the SHA-256 of their content and directories by that of
 * theirs. Two trees that share a directory share its name, wherever it lies.
 */

/** SHA-256, in hexadecimal. */
export type Hash = string;

const HASH = "^[0-9a-f]{64}$";

const Line = Type.Tuple([
  Type.Union([
    Type.Literal("file"),
    Type.Literal("directory"),
    Type.Literal("symlink"),
    /** A further name of a file that has one already. */
    Type.Literal("link"),
  ]),
  Type.String({ minLength: 1, maxLength: 4096 }),
  Type.Integer({ minimum: 0, maximum: 0o7777 }),
  /** Nanoseconds since 1970; more than a number holds. */
  Type.String({ pattern: "^-?[0-9]{1,20}$" }),
  Type.Integer({ minimum: 0 }),
  /** Of a file's content or a directory's listing; "" of symlinks. */
  Type.String({ pattern: `${HASH}|^$` }),
  /** Where a symlink points; what a link's first name is, from the root. */
  Type.String({ maxLength: 4096 }),
]);

/** One name in a directory. */
export interface TreeEntry {
  type: Static<typeof Line>[0];
  name: string;
  mode: number;
  mtimeNs: bigint;
  /** Bytes, of files and their further names; else 0. */
  size: number;
  hash: Hash;
  target: string;
}

/** An entry as its line in a listing: JSON, so that any name fits on one. */
export function formatEntry({ type, name, mode, mtimeNs, size, hash, target }: TreeEntry): string {
  return `${JSON.stringify([type, name, mode, String(mtimeNs), size, hash, target])}\n`;
}

export function parseListing(text: string): TreeEntry[] {
  return text.split("\n").slice(0, -1).map(parseLine);
}

function parseLine(line: string): TreeEntry {
  const [type, name, mode, mtime, size, hash, target] = checkLine(line);
  if (name.includes("/") || name.includes("\0") || name === "." || name === "..") throw bad();
  if ((hash === "") !== (type === "symlink")) throw bad();
  return { type, name, mode, mtimeNs: BigInt(mtime), size, hash, target };
}

function checkLine(line: string): Static<typeof Line> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw bad(cause);
  }
  return check(Line, value, "the source's tree");
}

function bad(cause?: unknown): DavitError {
  return new DavitError("invalid", "Cannot read the source's tree: an entry has the wrong shape", { cause });
}

export function isHash(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export function hashOf(bytes: string | Uint8Array): Hash {
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
