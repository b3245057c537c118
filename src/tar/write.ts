import { createTarPacker, type TarHeader } from "modern-tar";
import { type ByteStream, type Bytes, concat, decode } from "../bytes.ts";
import { DavitError } from "../errors.ts";
import { BLOCK } from "./header.ts";

/** One member to write. Files need `size` and a body of just that many bytes. */
export interface NewEntry {
  name: string;
  type: "file" | "directory" | "symlink" | "link" | "fifo";
  size?: number;
  mode?: number;
  linkname?: string;
  /** Seconds since 1970; 0 when left out, so that equal input gives equal bytes. */
  mtime?: number;
  body?: () => ByteStream | Promise<ByteStream>;
}

/** Larger times do not fit a ustar header; the library would write them wrong. */
const MAX_MTIME = 8_589_934_591;

/** Writes an archive as it is read, entry by entry, with owner 0:0 and no surprise of the machine in it. */
export async function* writeTar(
  entries: AsyncIterable<NewEntry> | Iterable<NewEntry>,
): AsyncGenerator<Bytes> {
  for await (const entry of entries) {
    yield await headerBlocks(entry);
    if (entry.body) yield* exactly(await entry.body(), entry);
    const padding = -(entry.type === "file" ? (entry.size ?? 0) : 0) & (BLOCK - 1);
    if (padding > 0) yield new Uint8Array(padding);
  }
  yield new Uint8Array(2 * BLOCK);
}

/** A body that is not as long as its header says would shift all that follows. */
async function* exactly(body: ByteStream, { name, size = 0 }: NewEntry): AsyncGenerator<Bytes> {
  let done = 0;
  for await (const chunk of body) {
    done += chunk.byteLength;
    if (done > size) break;
    yield chunk;
  }
  if (done !== size)
    throw new DavitError(
      "mismatch",
      `Cannot write ${name} to the archive: it has ${done} bytes, not ${size}`,
    );
}

/**
 * The library's encoding of one entry's header, extended headers included. Only
 * the header is asked of it: its own body streams queue 8 MiB and copy nothing,
 * so buffers could not be used again.
 */
export async function headerBlocks(entry: NewEntry): Promise<Bytes> {
  const { readable, controller } = createTarPacker();
  const reader = readable.getReader();
  controller.add(header(entry));
  const blocks: Uint8Array[] = [];
  for (let extended = true; extended; ) {
    const { value } = await reader.read();
    if (!value)
      throw new DavitError("io", `Cannot write ${entry.name} to the archive: its header is incomplete`);
    blocks.push(value);
    extended = isExtended(blocks);
  }
  return concat(blocks);
}

/** Whether the blocks so far are an extended header that the ordinary one still has to follow. */
function isExtended(blocks: Uint8Array[]): boolean {
  const first = blocks[0];
  if (first?.[TYPEFLAG] !== EXTENDED) return false;
  const bodySize = Number.parseInt(decode(first.subarray(124, 135)), 8);
  const before = BLOCK + Math.ceil(bodySize / BLOCK) * BLOCK;
  return blocks.reduce((sum, block) => sum + block.byteLength, 0) < before + BLOCK;
}

const TYPEFLAG = 156;
const EXTENDED = "x".charCodeAt(0);

function header(entry: NewEntry): TarHeader {
  const seconds = Math.min(Math.max(Math.floor(entry.mtime ?? 0), 0), MAX_MTIME);
  return {
    name: entry.name,
    type: entry.type,
    size: entry.type === "file" ? (entry.size ?? 0) : 0,
    mode: entry.mode ?? (entry.type === "directory" ? 0o755 : 0o644),
    mtime: new Date(seconds * 1000),
    uid: 0,
    gid: 0,
    ...(entry.linkname === undefined ? {} : { linkname: entry.linkname }),
  };
}
