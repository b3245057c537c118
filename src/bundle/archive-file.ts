import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { hasCode, systemError } from "../errors.ts";
import { eachOf } from "../oci/copy.ts";
import { headerBlocks } from "../tar/write.ts";
import { type ArchivePlan, type PlannedEntry, tarEntry, tarSize } from "./archive-plan.ts";

export interface ArchiveFileEvents {
  bytes?(count: number): void;
  warning?(text: string): void;
}

/** Bytes written at a time. */
const PIECE = 1024 * 1024;
/** Entries under way at once. */
const WIDTH = 4;

/**
 * Writes a planned archive to a file. Every entry's place is known beforehand, so
 * several come at once, and one that came damaged is fetched again in its place.
 * The file has its name only when it is whole.
 */
export async function writeArchiveFile(
  path: string,
  plan: ArchivePlan,
  on: ArchiveFileEvents = {},
): Promise<void> {
  const part = `${path}.${crypto.randomUUID().slice(0, 8)}.part`;
  try {
    const file = await open(part, "wx", 0o644);
    try {
      await file.truncate(plan.size);
      await eachOf([...placed(plan.entries)], WIDTH, ({ entry, offset }) =>
        writeEntry(file, entry, offset, on),
      );
    } finally {
      await file.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw systemError(`Cannot write ${path}`, error);
  }
}

function* placed(entries: PlannedEntry[]): Generator<{ entry: PlannedEntry; offset: number }> {
  let offset = 0;
  for (const entry of entries) {
    yield { entry, offset };
    offset += tarSize(entry.size);
  }
}

async function writeEntry(
  file: FileHandle,
  entry: PlannedEntry,
  offset: number,
  on: ArchiveFileEvents,
): Promise<void> {
  const header = await headerBlocks(tarEntry(entry));
  await writeAt(file, header, offset);
  try {
    await writeBody(file, entry, offset + header.byteLength, on);
  } catch (error) {
    if (!hasCode(error, "mismatch")) throw error;
    on.warning?.(`${error.message}; fetching it once more`);
    await writeBody(file, entry, offset + header.byteLength, on);
  }
}

/** While one piece is on its way to the disk, the next one is read and hashed. */
async function writeBody(
  file: FileHandle,
  entry: PlannedEntry,
  offset: number,
  on: ArchiveFileEvents,
): Promise<void> {
  const length = Math.max(1, Math.min(PIECE, entry.size));
  let [filling, spare] = [new Uint8Array(length), new Uint8Array(entry.size > PIECE ? length : 0)];
  let [filled, at] = [0, offset];
  let writing = Promise.resolve();
  const turn = async (): Promise<void> => {
    await writing;
    writing = writeAt(file, filling.subarray(0, filled), at);
    writing.catch(() => undefined);
    at += filled;
    filled = 0;
    [filling, spare] = [spare, filling];
  };
  for await (const chunk of await entry.open()) {
    for (let done = 0; done < chunk.byteLength; ) {
      const part = chunk.subarray(done, done + length - filled);
      filling.set(part, filled);
      filled += part.byteLength;
      done += part.byteLength;
      if (filled === length) await turn();
    }
    on.bytes?.(chunk.byteLength);
  }
  if (filled > 0) await turn();
  await writing;
}

async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; )
    done += (await file.write(bytes, done, bytes.byteLength - done, offset + done)).bytesWritten;
}
