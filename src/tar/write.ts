import { createTarPacker, type TarHeader } from "modern-tar";
import { type ByteStream, type Bytes, streamOf } from "../bytes.ts";

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
export function writeTar(entries: AsyncIterable<NewEntry> | Iterable<NewEntry>): ByteStream {
  const { readable, controller } = createTarPacker();
  const feeding = feed(controller, entries).catch((error: unknown) => controller.error(error));
  return afterwards(readable, feeding);
}

async function feed(
  controller: ReturnType<typeof createTarPacker>["controller"],
  entries: AsyncIterable<NewEntry> | Iterable<NewEntry>,
): Promise<void> {
  for await (const entry of entries) {
    const writer = controller.add(header(entry)).getWriter();
    const body = entry.body ? await entry.body() : streamOf();
    for await (const chunk of body) await writer.write(chunk);
    await writer.close();
  }
  controller.finalize();
}

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

async function* afterwards(stream: ByteStream, work: Promise<void>): AsyncGenerator<Bytes> {
  yield* stream;
  await work;
}
